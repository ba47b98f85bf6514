"""The law of the utility: the scan finds what trying every size finds, and what the paper's threshold says."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgedraft.exporter.methods.flops import EagleShape, LinearCost
from edgedraft.exporter.methods.utility import Utility, UtilitySettings
from edgedraft.runtime.base.errors import EdgedraftError

LAWS = settings(max_examples=150, deadline=None, derandomize=True, database=None)
LLAMA_8B = EagleShape(hidden=4096, intermediate=14336, heads=32, kv_heads=8, target_vocab_size=128256)

COUNTS = st.lists(st.integers(0, 40), min_size=1, max_size=60).filter(any)
COSTS = st.builds(LinearCost, fixed=st.floats(0, 1e3), per_token=st.floats(1e-2, 10))
WEIGHTS = st.floats(0, 1)


def wanted(**changes) -> UtilitySettings:
    return UtilitySettings(**{"min_size": 1, "max_size": 60} | changes)


def by_hand(counts, cost, weight, size) -> float:
    """U(K), from its definition."""
    covered = sum(sorted(counts, reverse=True)[:size]) / sum(counts)
    return weight * covered + (1 - weight) * (1 - cost.of(size) / cost.of(len(counts)))


# --- the law ---------------------------------------------------------------------------------------------------------


@LAWS
@given(COUNTS, COSTS, WEIGHTS, st.floats(0, 1), st.integers(1, 60), st.integers(1, 60))
def test_the_scan_finds_the_best_of_all_allowed_sizes(counts, cost, weight, least, one, other):
    low, high = min(one, other), max(one, other)
    assume(low <= len(counts))
    asked = wanted(coverage_weight=weight, min_coverage=least, min_size=low, max_size=high)
    utility = Utility(np.array(counts), cost, asked)
    allowed = [size for size in range(low, min(high, len(counts)) + 1) if utility.allows(size)]
    assume(allowed)
    best = max(by_hand(counts, cost, weight, size) for size in allowed)
    found = utility.scan()
    assert found.size in allowed
    assert by_hand(counts, cost, weight, found.size) == pytest.approx(best, abs=1e-12)
    assert found.utility == pytest.approx(best, abs=1e-12)


def worth_their_rows(counts, utility) -> int:
    """How many tokens reach the paper's threshold: the best size in closed form."""
    return int((np.sort(counts) / np.sum(counts) >= utility.worthwhile_share).sum())


@LAWS
@given(COUNTS, COSTS, st.floats(0.01, 0.99))
def test_the_scan_keeps_the_tokens_that_are_worth_their_rows_but_for_ties(counts, cost, weight):
    utility = Utility(np.array(counts), cost, wanted(coverage_weight=weight))
    scanned, closed = utility.scan().size, max(worth_their_rows(counts, utility), 1)
    shares = np.sort(counts)[::-1] / np.sum(counts)
    between = shares[min(scanned, closed) : max(scanned, closed)]
    np.testing.assert_allclose(between, utility.worthwhile_share, rtol=1e-9)


def test_both_agree_on_a_large_vocabulary():
    weights = 1 / (np.arange(128256) + 2.7)
    counts = np.random.default_rng(0).multinomial(20_000_000, weights / weights.sum())
    for weight in (0.3, 0.5, 0.7, 0.9):
        utility = Utility(counts, LLAMA_8B.cost, UtilitySettings(coverage_weight=weight, max_size=128256))
        assert utility.scan().size == worth_their_rows(counts, utility)


@pytest.mark.parametrize(("weight", "share"), [(0.5, "5.0016e-06"), (0.7, "2.1435e-06")])
def test_the_share_that_is_worth_a_row_of_the_papers_drafter(weight, share):
    counts = np.ones(128256, dtype=np.int64)
    utility = Utility(counts, LLAMA_8B.cost, UtilitySettings(coverage_weight=weight))
    assert f"{utility.worthwhile_share:.4e}" == share


# --- cases -----------------------------------------------------------------------------------------------------------


def test_a_size_is_weighed_by_coverage_and_saving():
    cost = LinearCost(fixed=10.0, per_token=1.0)
    found = Utility(np.array([1, 5, 0, 4]), cost, wanted(coverage_weight=0.75)).score(2)
    assert found.coverage == 0.9
    assert found.latency_reduction == 1 - 12 / 14
    assert found.utility == 0.75 * 0.9 + 0.25 * (1 - 12 / 14)


def test_the_order_of_ids_makes_no_difference():
    counts, cost = np.array([7, 0, 3, 3, 90, 1, 0]), LinearCost(fixed=1.0, per_token=0.1)
    assert Utility(counts, cost, wanted()).scan() == Utility(counts[::-1], cost, wanted()).scan()


def test_coverage_alone_keeps_all_and_cost_alone_keeps_least():
    counts, cost = np.array([5, 4, 3, 0, 0, 0]), LinearCost(fixed=1.0, per_token=1.0)
    assert Utility(counts, cost, wanted(coverage_weight=1.0)).scan().size == 6
    assert Utility(counts, cost, wanted(coverage_weight=0.0, min_size=2)).scan().size == 2


def test_a_least_coverage_moves_the_choice_up_to_it():
    counts, cost = np.array([6, 2, 1, 1]), LinearCost(fixed=0.0, per_token=1.0)
    assert Utility(counts, cost, wanted()).scan().size == 1
    assert Utility(counts, cost, wanted(min_coverage=0.9)).scan().size == 3
    assert Utility(counts, cost, wanted(min_coverage=1.0)).scan().size == 4


# --- what cannot be ---------------------------------------------------------------------------------------------------


def test_a_coverage_out_of_reach_is_one_line_that_says_what_is_reached():
    counts = np.full(100, 10)
    with pytest.raises(EdgedraftError) as raised:
        Utility(counts, LinearCost(fixed=1.0, per_token=1.0), wanted(min_coverage=0.9)).scan()
    assert str(raised.value) == (
        "min-coverage: no draft vocabulary of at most 60 tokens covers 90.00%, got 60.00%"
        " - lower min-coverage or raise max-vocab-size"
    )


def test_counts_of_nothing_are_refused():
    with pytest.raises(EdgedraftError, match=r"^utility: expected at least one counted token, got 0$"):
        Utility(np.zeros(9, dtype=np.int64), LinearCost(fixed=1.0, per_token=1.0), wanted()).scan()


def test_a_least_size_beyond_the_vocabulary_is_refused():
    with pytest.raises(EdgedraftError, match=r"^min-vocab-size: expected at most the target's 9 tokens, got 50$"):
        Utility(np.ones(9, dtype=np.int64), LinearCost(fixed=1.0, per_token=1.0), UtilitySettings()).scan()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"coverage_weight": 1.5}, "coverage-weight: expected 0..1, got 1.5"),
        ({"min_coverage": -0.1}, "min-coverage: expected 0..1, got -0.1"),
        ({"min_size": 0}, "min-vocab-size: expected 1 or more, got 0"),
        ({"min_size": 9, "max_size": 8}, "max-vocab-size: expected 9 (min-vocab-size) or more, got 8"),
    ],
)
def test_impossible_settings_are_refused(changes, error):
    with pytest.raises(EdgedraftError) as raised:
        wanted(**changes)
    assert str(raised.value) == error
