"""Replay by depth: a walk by the simplest loop gives the same, and a drafter that is alike at all depths is a case."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.exporter.planning.replay import AcceptanceWindows, replay
from edgedraft.exporter.planning.replay_depths import by_position, replay_depths
from edgedraft.exporter.planning.replay_draws import ExpectedAcceptance, expected_replay
from edgedraft.exporter.planning.scan import scan, scan_replays
from edgedraft.runtime.base.errors import EdgedraftError

DEPTHS, MOST = 5, 40
PARTS = ("rounds", "accepted", "evaluated", "full_rounds")
lengths_of_answers = st.lists(st.integers(0, 12), min_size=1, max_size=4)


def random_windows(rng: np.random.Generator, lengths: Sequence[int], alike: bool = False) -> AcceptanceWindows:
    """Windows of random answers; if ``alike``, a position's window is the same at every depth."""
    low, high = rng.integers(0, 20, sum(lengths)), rng.integers(0, MOST, sum(lengths))
    starts = np.cumsum([0, *lengths])
    depths = []
    for depth in range(DEPTHS):
        rows = np.concatenate([np.arange(a + min(depth, b - a), b) for a, b in pairwise(starts)])
        rows = rows.astype(int)
        shift = np.zeros(len(rows), int) if alike else rng.integers(-9, 9, len(rows))
        offsets = np.cumsum([0, *(max(length - depth, 0) for length in lengths)])
        depths.append((low[rows], high[rows] + shift, offsets))
    windows = [AcceptanceWindows(low=low, high=high, offsets=offsets, cut_share=0.0) for low, high, offsets in depths]
    first = windows[0]
    return AcceptanceWindows(
        low=first.low, high=first.high, offsets=first.offsets, cut_share=0.0, deeper=tuple(windows[1:])
    )


def walked(windows: AcceptanceWindows, answer: int, size: int, draft_length: int) -> dict[str, int]:
    """One answer by the plain rule."""
    positions, root, found = int(np.diff(windows.offsets)[answer]), 0, dict.fromkeys(PARTS, 0)
    while root < positions:
        found["rounds"] += 1
        depth = 0
        while depth < draft_length and root + depth < positions:
            rows = windows.depths[depth]
            found["evaluated"] += 1
            if not rows.accepted(size)[rows.offsets[answer] + root]:
                break
            found["accepted"] += 1
            depth += 1
        found["full_rounds"] += depth == draft_length
        root += depth + 1
    return found


@given(lengths=lengths_of_answers, seed=st.integers(0, 999), size=st.integers(1, MOST), length=st.integers(1, DEPTHS))
@settings(max_examples=60, deadline=None)
def test_the_walk_is_that_of_the_plain_rule(lengths, seed, size, length):
    windows = random_windows(np.random.default_rng(seed), lengths)
    outcome = replay_depths(windows, size, length)
    assert outcome.tokens.tolist() == lengths
    for answer in range(len(lengths)):
        assert {part: getattr(outcome, part)[answer] for part in PARTS} == walked(windows, answer, size, length)


@given(lengths=lengths_of_answers, seed=st.integers(0, 999), length=st.integers(1, DEPTHS))
@settings(max_examples=30, deadline=None)
def test_a_drafter_that_is_alike_at_all_depths_is_an_independent_one(lengths, seed, length):
    windows = random_windows(np.random.default_rng(seed), lengths, alike=True)
    single = AcceptanceWindows(low=windows.low, high=windows.high, offsets=windows.offsets, cut_share=0.0)
    for size in (1, 7, 19, MOST):
        by_depth, at_once = replay_depths(windows, size, length), replay(single, size, length)
        for part in PARTS:
            assert getattr(by_depth, part).tolist() == getattr(at_once, part).tolist()


def test_a_scan_sums_the_replays():
    windows = random_windows(np.random.default_rng(3), [12, 0, 9, 30])
    sizes, lengths = np.arange(1, MOST), range(1, DEPTHS + 1)
    at_once = scan(windows, sizes, lengths)
    one_by_one = scan_replays(lambda size, length: replay_depths(windows, size, length), sizes, lengths)
    for part in PARTS:
        np.testing.assert_array_equal(getattr(at_once, part), getattr(one_by_one, part))
    assert at_once.tokens == one_by_one.tokens == 51
    assert len(np.unique(at_once.rounds)) > 20


@given(lengths=lengths_of_answers, seed=st.integers(0, 999), length=st.integers(1, DEPTHS))
@settings(max_examples=30, deadline=None)
def test_certain_fates_make_expected_replays_exact(lengths, seed, length):
    windows, size = random_windows(np.random.default_rng(seed), lengths), 12
    depths = [
        ExpectedAcceptance(
            acceptance=rows.accepted(size) * 1.0,
            kept=rows.accepted(size) * 1.0,
            doubt=np.zeros(len(rows.low)),
            offsets=rows.offsets,
        )
        for rows in windows.depths
    ]
    first = depths[0]
    expected = ExpectedAcceptance(
        acceptance=first.acceptance,
        kept=first.kept,
        doubt=first.doubt,
        offsets=first.offsets,
        deeper=tuple(depths[1:]),
    )
    found, exact = expected_replay(expected, length), replay_depths(windows, size, length)
    for part in PARTS:
        np.testing.assert_allclose(getattr(found, part), getattr(exact, part))


def test_rows_stand_at_the_position_that_they_decide():
    laid_out = by_position(
        [np.array([1, 2, 3, 9]), np.array([4, 5]), np.array([6])],
        [np.array([0, 3, 4]), np.array([0, 2, 2]), np.array([0, 1, 1])],
    )
    assert laid_out[:, 0].tolist() == [[1, 0, 0], [2, 4, 0], [3, 5, 6]]
    assert laid_out[:, 1].tolist() == [[9, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_longer_drafts_than_were_traced_are_refused():
    windows = random_windows(np.random.default_rng(0), [5])
    with pytest.raises(EdgedraftError, match=r"traced for drafts of 1\.\.5 tokens, got 6 - choose a shorter draft"):
        replay_depths(windows, 3, DEPTHS + 1)
