"""Counts, ratios and intervals, on numbers small enough to do by hand."""

import numpy as np
import pytest

from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.base.records import from_plain, to_plain
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.statistics import (
    DraftStatistics,
    count_rounds,
    median_interval,
    memory_bound_speed_up,
    ratio_interval,
    trimmed_mean,
)

NOTHING = DraftStatistics(
    rounds=0, tokens=0, draft_tokens_proposed=0, draft_tokens_evaluated=0, draft_tokens_accepted=0
)


def round_(accepted, proposed):
    return Round(token_ids=tuple(range(accepted + 1)), drafted=proposed, accepted=accepted)


def test_rounds_are_counted():
    found = count_rounds([round_(0, 3), round_(2, 3), round_(3, 3), round_(0, 0)])
    assert found == DraftStatistics(
        rounds=4, tokens=9, draft_tokens_proposed=9, draft_tokens_evaluated=1 + 3 + 3, draft_tokens_accepted=5
    )
    assert found.block_efficiency == 9 / 4
    assert found.acceptance_rate == 5 / 7


def test_no_rounds_count_nothing():
    assert count_rounds([]) == NOTHING
    assert (NOTHING.acceptance_rate, NOTHING.block_efficiency) == (0.0, 0.0)


def test_plain_rounds_have_a_block_efficiency_of_one():
    found = count_rounds(iter([round_(0, 0)] * 5))
    assert (found.block_efficiency, found.acceptance_rate) == (1.0, 0.0)


def test_drafts_that_were_all_accepted_have_an_acceptance_rate_of_one():
    assert count_rounds([round_(3, 3), round_(1, 1)]).acceptance_rate == 1.0


def test_cutting_an_answer_refuses_no_draft():
    *_, cut = limited([round_(0, 0), round_(3, 3)], Limits(max_new_tokens=3))
    assert count_rounds([cut]).acceptance_rate == 1.0


@pytest.mark.parametrize(
    ("block_efficiency", "cost_ratio", "draft_length", "expected"),
    [(2.0, 0.1, 3, 2 / 1.3), (1.0, 0.5, 2, 0.5), (4.0, 0.0, 3, 4.0), (1.0, 0.3, 0, 1.0)],
)
def test_memory_bound_speed_up(block_efficiency, cost_ratio, draft_length, expected):
    assert memory_bound_speed_up(block_efficiency, cost_ratio, draft_length) == pytest.approx(expected)


def test_a_median_lies_between_quartiles():
    assert median_interval([5, 1, 3, 2, 4]) == Interval(level=0.5, value=3.0, low=2.0, high=4.0)
    assert median_interval([7]) == Interval(level=0.5, value=7.0, low=7.0, high=7.0)


def test_intervals_keep_their_keys_in_json():
    quartiles = median_interval([1, 2, 3])
    assert to_plain({"speed": quartiles}) == {"speed": {"median": 2.0, "low": 1.5, "high": 2.5}}
    assert from_plain(Interval, to_plain(quartiles), "bench.json") == quartiles
    other = Interval(value=2.0, low=1.0, high=3.0, level=0.8)
    assert to_plain(other) == {"value": 2.0, "low": 1.0, "high": 3.0}


def test_a_ratio_interval_is_the_same_for_the_same_seed():
    parts, wholes = [3, 1, 4, 1, 5], [9, 2, 6, 5, 8]
    first, again = (ratio_interval(parts, wholes, np.random.default_rng(3)) for _ in range(2))
    assert first == again
    assert first != ratio_interval(parts, wholes, np.random.default_rng(4))


def test_a_ratio_interval_lies_around_the_ratio_and_within_the_extremes():
    rng = np.random.default_rng(0)
    wholes = rng.integers(10, 200, size=40)
    parts = rng.binomial(wholes, 0.3)
    low, high = ratio_interval(parts, wholes, rng)
    assert min(parts / wholes) <= low < parts.sum() / wholes.sum() < high <= max(parts / wholes)


def test_a_ratio_interval_of_equal_ratios_has_no_width():
    assert ratio_interval([1, 2, 3], [2, 4, 6], np.random.default_rng(0)) == (0.5, 0.5)


def test_a_ratio_interval_holds_the_true_ratio_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        wholes = rng.integers(20, 60, size=40)
        low, high = ratio_interval(rng.binomial(wholes, 0.7), wholes, rng, draws=200)
        held += low <= 0.7 <= high
    assert 0.88 <= held / 200 <= 0.99


def test_more_prompts_narrow_a_ratio_interval():
    def width(prompts):
        rng = np.random.default_rng(2)
        low, high = ratio_interval(rng.binomial(50, 0.5, size=prompts), np.full(prompts, 50), rng)
        return high - low

    assert width(400) < width(25) / 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3.0], 3.0), ([1.0, 2.0, 6.0], 3.0), ([100.0, *[2.0] * 8, -50.0], 2.0), ([*[1.0] * 9, *[3.0] * 11], 2.125)],
)
def test_a_trimmed_mean_leaves_out_a_tenth_at_either_end(values, expected):
    assert trimmed_mean(values) == expected
