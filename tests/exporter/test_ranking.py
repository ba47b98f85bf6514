"""The token order: the end of turn first, then by counts, later counts breaking ties, then the smaller id."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.counts import TokenCounts
from edgedraft.exporter.ranking import coverage, index_map, rank_tokens, ranks_of
from edgedraft.runtime.errors import EdgedraftError


def counted(*counts: int, source: str = "target") -> TokenCounts:
    return TokenCounts(counts=np.array(counts, np.int64), prompts=1, source=source, tokenizer_fingerprint="f")


def test_counts_order_tokens_and_the_smaller_id_wins_a_tie():
    assert rank_tokens([counted(0, 5, 2, 5, 0)], []).tolist() == [1, 3, 2, 0, 4]


def test_second_counts_break_the_ties_of_the_first_only():
    by_target, by_drafter = counted(0, 5, 5, 0, 0), counted(0, 1, 2, 9, 9, source="drafter")
    assert rank_tokens([by_target, by_drafter], []).tolist() == [2, 1, 3, 4, 0]


def test_third_counts_break_the_ties_of_the_second():
    parts = [counted(1, 1, 1), counted(2, 2, 3), counted(0, 1, 0)]
    assert rank_tokens(parts, []).tolist() == [2, 1, 0]


def test_first_ids_lead_in_their_own_order_and_appear_once():
    assert rank_tokens([counted(9, 8, 7, 6)], [3, 2, 3]).tolist() == [2, 3, 0, 1]
    assert rank_tokens([counted(9, 8, 7, 6)], [0]).tolist() == [0, 1, 2, 3]


def test_no_counts_are_refused():
    with pytest.raises(EdgedraftError, match=r"^ranking: expected at least one count$"):
        rank_tokens([], [1])


counts_pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


@given(pairs=counts_pairs, data=st.data())
def test_the_order_is_a_sort_by_key(pairs, data):
    ids = st.integers(0, len(pairs) - 1)
    first = data.draw(st.lists(ids, max_size=3))
    by_target, by_drafter = (counted(*column) for column in zip(*pairs, strict=True))
    order = rank_tokens([by_target, by_drafter], first)
    assert order.dtype == np.int64
    rest = [token for token in range(len(pairs)) if token not in first]
    by_counts = sorted(rest, key=lambda token: (-pairs[token][0], -pairs[token][1], token))
    assert order.tolist() == sorted(set(first)) + by_counts


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


def test_coverage_is_the_share_of_counted_tokens():
    counts = counted(1, 0, 3, 4)
    order = rank_tokens([counts], [])
    assert [coverage(counts, order, size) for size in range(1, 5)] == [0.5, 0.875, 1.0, 1.0]
    assert coverage(counted(0, 0), np.arange(2), 1) == 0
