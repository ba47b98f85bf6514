"""The token order: the end of turn first, then by counts, later counts breaking ties, then the smaller id."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.exporter.planning.ranking import (
    counted_by_size,
    coverage,
    coverage_by_size,
    index_map,
    rank_tokens,
    ranks_of,
)
from edgedraft.runtime.base.errors import EdgedraftError


def test_counts_order_tokens_and_the_smaller_id_wins_a_tie(make_counts):
    assert rank_tokens([make_counts([0, 5, 2, 5, 0])], []).tolist() == [1, 3, 2, 0, 4]


def test_second_counts_break_the_ties_of_the_first_only(make_counts):
    by_target, by_drafter = make_counts([0, 5, 5, 0, 0]), make_counts([0, 1, 2, 9, 9], source="drafter")
    assert rank_tokens([by_target, by_drafter], []).tolist() == [2, 1, 3, 4, 0]


def test_third_counts_break_the_ties_of_the_second(make_counts):
    parts = [make_counts(row) for row in ([1, 1, 1], [2, 2, 3], [0, 1, 0])]
    assert rank_tokens(parts, []).tolist() == [2, 1, 0]


def test_first_ids_lead_in_their_own_order_and_appear_once(make_counts):
    assert rank_tokens([make_counts([9, 8, 7, 6])], [3, 2, 3]).tolist() == [2, 3, 0, 1]
    assert rank_tokens([make_counts([9, 8, 7, 6])], [0]).tolist() == [0, 1, 2, 3]


def test_no_counts_are_refused():
    with pytest.raises(EdgedraftError, match=r"^ranking: expected at least one count$"):
        rank_tokens([], [1])


@given(groups=st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=8), data=st.data())
def test_only_the_sum_over_groups_ranks(make_counts, groups, data):
    shuffled = data.draw(st.permutations(groups))
    whole = np.sum(groups, axis=0)
    orders = [rank_tokens([make_counts(rows)], [2]).tolist() for rows in (groups, shuffled, whole)]
    assert orders[0] == orders[1] == orders[2]


@given(st.permutations(range(20)))
def test_ranks_are_the_inverse(order):
    order = np.array(order, np.int64)
    ranks = ranks_of(order)
    assert ranks[order].tolist() == list(range(20))
    assert order[ranks].tolist() == list(range(20))


@given(order=st.permutations(range(12)), size=st.integers(1, 12))
def test_the_map_holds_the_most_wanted_tokens_in_ascending_order(order, size):
    made = index_map(np.array(order, np.int64), size)
    assert made.target_ids.tolist() == sorted(order[:size])
    assert made.target_vocab_size == 12


def test_coverage_is_the_share_of_counted_tokens(make_counts):
    counts = make_counts([[1, 0, 1, 4], [0, 0, 2, 0]])
    order = rank_tokens([counts], [])
    assert [coverage(counts, order, size) for size in range(1, 5)] == [0.5, 0.875, 1.0, 1.0]
    assert coverage(make_counts([0, 0]), np.arange(2), 1) == 0


@given(groups=st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=4))
def test_coverage_of_every_size_is_that_of_each(make_counts, groups):
    counts = make_counts(groups)
    order = rank_tokens([counts], [2])
    every = coverage_by_size(counts, order)
    assert every.tolist() == [coverage(counts, order, size) for size in range(1, 7)]


def test_tokens_without_evidence_are_told_from_counted_ones(make_counts):
    counts = [make_counts([0, 0, 5, 0, 0, 0]), make_counts([0, 2, 0, 0, 0, 0])]
    # Id 4 leads; 2 and 1 were counted; 0, 3 and 5 follow by their ids.
    assert counted_by_size(counts, [4]).tolist() == [1, 2, 3, 3, 3, 3]
