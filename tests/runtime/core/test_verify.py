"""The maths of greedy verification on plain arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgedraft.runtime.core.verify import accepted_prefix, confidence, greedy_choices, log_probability, logit_margin

LAWS = settings(deadline=None, derandomize=True, database=None)
IDS = st.lists(st.integers(0, 2), max_size=8)


def row(*values):
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize(
    ("draft_ids", "target_ids", "expected"),
    [
        ([], [4], 0),
        ([4], [], 0),
        ([4], [5, 6], 0),
        ([4, 5], [4, 6, 7], 1),
        ([4, 5], [4, 5, 7], 2),
        ([4, 9, 6], [4, 5, 6, 7], 1),
    ],
)
def test_accepted_prefix_stops_at_the_first_difference(draft_ids, target_ids, expected):
    assert accepted_prefix(draft_ids, target_ids) == expected


@LAWS
@given(one=IDS, other=IDS)
def test_accepted_prefix_is_the_longest_common_one(one, other):
    size = accepted_prefix(one, other)
    assert one[:size] == other[:size]
    assert one[: size + 1] != other[: size + 1] or size == len(one) == len(other)


def test_greedy_choices_are_the_best_of_each_row():
    assert greedy_choices(np.stack([row(0, 3, 1), row(-5, -7, -6)])) == [1, 0]


def test_a_tie_goes_to_the_smaller_id():
    assert greedy_choices(np.stack([row(1, 2, 2), row(0, 0, 0), row(-np.inf, 4, 4)])) == [1, 0, 1]


def test_choices_are_plain_integers():
    assert {type(choice) for choice in greedy_choices(np.zeros((2, 3), dtype=np.float32))} == {int}


def test_the_margin_is_best_minus_second_best():
    assert logit_margin(row(1, 7, 4.5, -3)) == 2.5
    assert logit_margin(row(-8, -1)) == 7


def test_the_margin_of_a_tie_is_nought():
    assert logit_margin(row(4, 1, 4)) == 0


def test_the_margin_leaves_the_row_as_it_was():
    values = row(3, 1, 2)
    logit_margin(values)
    assert values.tolist() == [3, 1, 2]


ROWS = arrays(np.float32, st.integers(1, 40), elements=st.floats(-60, 60, width=32))


@LAWS
@given(values=ROWS)
def test_log_probabilities_are_a_log_softmax(values):
    wide = values.astype(np.float64)
    expected = wide - wide.max() - np.log(np.exp(wide - wide.max()).sum())
    found = [log_probability(values, token) for token in range(len(values))]
    assert found == pytest.approx(expected.tolist(), abs=2e-5)


def test_log_probabilities_of_a_wide_row_do_not_drift():
    values = np.random.default_rng(0).normal(0, 4, 150_000).astype(np.float32)
    wide = values.astype(np.float64)
    assert log_probability(values, 7) == pytest.approx(wide[7] - np.log(np.exp(wide).sum()), abs=1e-5)


@LAWS
@given(values=ROWS)
def test_confidence_is_the_probability_of_the_best_token(values):
    assert confidence(values) == pytest.approx(np.exp(log_probability(values, int(values.argmax()))), rel=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_choices_from_logits_that_are_not_numbers_are_refused(value, raises_exactly):
    remedy = "check the bundle's files or export it again"
    with raises_exactly(f"logits of the model must be finite numbers, got NaN or infinity - {remedy}"):
        greedy_choices(np.stack([row(0, 1, 2), row(0, value, 2)]))
    with raises_exactly(f"logits of the drafter must be finite numbers, got NaN or infinity - {remedy}"):
        greedy_choices(np.full((1, 3), -np.inf, dtype=np.float32), "the drafter")


def test_tokens_that_cannot_be_are_no_fault():
    assert greedy_choices(np.stack([row(-np.inf, 1, -np.inf)])) == [1]
    assert confidence(row(-np.inf, 1, -np.inf)) == 1.0
