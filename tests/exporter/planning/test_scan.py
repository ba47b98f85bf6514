"""The law of the scan: at every draft vocabulary size and draft length it is what that replay sums to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.exporter.planning.ranking import ranks_of
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS, AcceptanceWindows, acceptance_windows, replay
from edgedraft.exporter.planning.replay_draws import ExpectedAcceptance, expected_replay
from edgedraft.exporter.planning.scan import scan, scan_replays, tiled_sizes

VOCAB = 9
EVERY_SIZE = range(1, VOCAB + 1)
AMOUNTS = ("rounds", "full_rounds", "accepted", "evaluated")

bounds = st.tuples(st.integers(0, VOCAB), st.integers(0, VOCAB))
answers = st.lists(st.lists(bounds, max_size=25), min_size=1, max_size=4)


def windows_of(parts) -> AcceptanceWindows:
    """One (low, high) a position; a low of at least high is never accepted, a high of VOCAB never refused again."""
    pairs = np.array([pair for part in parts for pair in part], dtype=np.int64).reshape(-1, 2)
    offsets = np.cumsum([0, *map(len, parts)])
    return AcceptanceWindows(low=pairs[:, 0], high=pairs[:, 1], offsets=offsets, cut_share=0.0)


def assert_is_the_replays(found, windows) -> None:
    assert found.tokens == len(windows.low)
    for row, size in enumerate(found.sizes.tolist()):
        for column, length in enumerate(found.draft_lengths.tolist()):
            wanted = replay(windows, size, length)
            for name in AMOUNTS:
                assert getattr(found, name)[row, column] == getattr(wanted, name).sum(), (name, size, length)
            assert found.acceptance_rate[row, column] == wanted.acceptance_rate
            if found.tokens:
                assert found.block_efficiency[row, column] == wanted.block_efficiency


# --- scan ------------------------------------------------------------------------------------------------------------


@given(parts=answers)
@settings(max_examples=60, deadline=None)
def test_every_size_and_draft_length_is_its_replay(parts):
    windows = windows_of(parts)
    found = scan(windows, EVERY_SIZE)
    assert found.draft_lengths.tolist() == list(DRAFT_LENGTHS) == list(range(1, 17))
    assert {getattr(found, name).dtype for name in AMOUNTS} == {np.dtype(np.int64)}
    assert_is_the_replays(found, windows)


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([(0, VOCAB)] * 40, id="always accepted"),
        pytest.param([(VOCAB, VOCAB)] * 40, id="never accepted"),
        pytest.param([(5, 2)] * 40, id="the drafter likes another token better before the target's comes"),
        pytest.param([(3, 6)] * 40, id="all accepted and refused at once"),
        pytest.param([(i % 4, 4 + i % 3) for i in range(40)], id="in and out of order"),
    ],
)
def test_answers_of_one_kind_and_empty_ones_between(pairs):
    windows = windows_of([[], pairs, [], pairs[:1], []])
    assert_is_the_replays(scan(windows, EVERY_SIZE), windows)


@given(seed=st.integers(0, 2**32 - 1), agreement=st.sampled_from((0.2, 0.7, 0.95)))
@settings(max_examples=15, deadline=None)
def test_a_traces_scan_is_its_replays(greedy_trace, seed, agreement):
    rng = np.random.default_rng(seed)
    preferences = np.argsort(rng.random((70, 30)), axis=1)
    targets = np.where(rng.random(70) < agreement, preferences[:, 0], rng.integers(0, 30, 70))
    trace = greedy_trace(preferences, targets, np.array([0, 30, 30, 31, 70]), cap=12)
    windows = acceptance_windows(trace, ranks_of(rng.permutation(30)))
    assert_is_the_replays(scan(windows, range(1, 31), (1, 2, 5, 16)), windows)


@given(
    parts=answers, sizes=st.sets(st.integers(1, 3 * VOCAB), min_size=1), lengths=st.sets(st.integers(1, 40), min_size=1)
)
@settings(max_examples=40, deadline=None)
def test_some_sizes_and_lengths_are_rows_and_columns_of_all(parts, sizes, lengths):
    """Also sizes beyond the vocabulary, and drafts longer than any answer."""
    windows = windows_of(parts)
    every = scan(windows, range(1, 3 * VOCAB + 1), range(1, 41))
    some = scan(windows, sorted(sizes), sorted(lengths))
    assert (some.sizes.tolist(), some.draft_lengths.tolist()) == (sorted(sizes), sorted(lengths))
    grid = np.ix_(some.sizes - 1, some.draft_lengths - 1)
    for name in AMOUNTS:
        assert np.array_equal(getattr(some, name), getattr(every, name)[grid])


def test_a_scan_by_hand():
    # Accepted at K = 2 and 4: yes no yes yes yes; at K = 3 all five; rounds of two drafts end after three tokens.
    found = scan(windows_of([[(0, 9), (2, 3), (0, 9), (0, 9), (0, 9)]]), (2, 3, 4), (2,))
    assert found.rounds.tolist() == [[2], [2], [2]]
    assert found.full_rounds.tolist() == [[1], [2], [1]]
    assert found.accepted.tolist() == [[3], [4], [3]]  # the third after a full round's two is the target's own
    assert found.evaluated.tolist() == [[4], [4], [4]]
    assert found.block_efficiency.tolist() == [[2.5], [2.5], [2.5]]
    assert found.acceptance_rate.tolist() == [[0.75], [1.0], [0.75]]


def test_a_trace_without_positions_takes_no_rounds():
    found = scan(windows_of([[], []]), (4, 8))
    assert found.tokens == 0
    for name in (*AMOUNTS, "block_efficiency", "acceptance_rate"):
        assert getattr(found, name).tolist() == [[0] * 16] * 2


# --- scan_replays ----------------------------------------------------------------------------------------------------


@given(parts=answers)
@settings(max_examples=20, deadline=None)
def test_the_slow_scan_of_exact_replays_is_the_fast_one(parts):
    windows = windows_of(parts)
    slow = scan_replays(lambda size, length: replay(windows, size, length), (1, 4, VOCAB), (1, 3))
    fast = scan(windows, (1, 4, VOCAB), (1, 3))
    for name in (*AMOUNTS, "sizes", "draft_lengths", "tokens", "block_efficiency", "acceptance_rate"):
        assert np.array_equal(getattr(slow, name), getattr(fast, name))


def test_expected_replays_are_scanned_in_fractions():
    kept = np.random.default_rng(0).random(50)
    zeros, offsets = np.zeros(50), np.array([0, 20, 50])

    def replayed(size: int, length: int):
        chances = kept ** (1 / size)
        return expected_replay(ExpectedAcceptance(acceptance=zeros, kept=chances, doubt=zeros, offsets=offsets), length)

    found = scan_replays(replayed, (1, 5), (1, 2, 4))
    assert found.tokens == 50
    for row, size in enumerate((1, 5)):
        for column, length in enumerate((1, 2, 4)):
            wanted = replayed(size, length)
            for name in AMOUNTS:
                assert getattr(found, name)[row, column] == getattr(wanted, name).sum()
            assert found.block_efficiency[row, column] == wanted.block_efficiency
            assert found.acceptance_rate[row, column] == wanted.acceptance_rate
    assert found.rounds[0, 0] % 1 != 0


# --- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vocab_size", "sizes"), [(200, [64, 128, 192, 200]), (128, [64, 128]), (64, [64]), (10, [10])]
)
def test_tiled_sizes_end_with_the_whole_vocabulary(vocab_size, sizes):
    assert tiled_sizes(vocab_size).tolist() == sizes
