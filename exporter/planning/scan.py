"""Replays of a trace at every draft vocabulary size and draft length, in one sweep over sizes.

As K grows from 1, a position becomes accepted once, at low + 1, and refused again once, at high + 1. Either change
joins or parts two runs of accepted positions and leaves all others alone: at most two steps a position do for any
number of sizes.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.counts import TokenCounts
from edgedraft.calibration.trace.rows import AcceptanceTrace, DrawnTrace
from edgedraft.exporter.graph.head import ROW_TILE
from edgedraft.exporter.planning.ranking import coverage_by_size, ranks_of
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS, AcceptanceWindows, Replay, acceptance_windows, replay
from edgedraft.exporter.planning.replay_depths import replay_depths, walk
from edgedraft.exporter.planning.replay_draws import ExpectedAcceptance, expected_acceptance, expected_replay
from edgedraft.runtime.base.arrays import CountArray, Float64Array, Ids

_SIZES_AT_ONCE = 256
"""Bounds the (sizes, answers) counts that are held at a time."""

Numbers = Sequence[int] | Ids

ReplayFunction = Callable[[int, int], Replay]
"""The replay at a draft vocabulary size and a draft length."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scan:
    """A replay's sums over all answers, at each of ``sizes`` (sizes,) and ``draft_lengths`` (lengths,), int64.

    ``rounds``, ``full_rounds``, ``accepted`` and ``evaluated``: (sizes, lengths), int64, float64 where expected.
    ``tokens`` is the same for all.
    """

    sizes: Ids
    draft_lengths: Ids
    rounds: CountArray
    full_rounds: CountArray
    accepted: CountArray
    evaluated: CountArray
    tokens: int

    @property
    def block_efficiency(self) -> Float64Array:
        """Return mean tokens per target pass (τ), (vocabulary sizes, draft lengths); 0 for an empty trace."""
        return _ratio(np.asarray(self.tokens), self.rounds)

    @property
    def acceptance_rate(self) -> Float64Array:
        """Accepted over examined drafts, (sizes, lengths); 0 where none was examined."""
        return _ratio(self.accepted, self.evaluated)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReplayedAnswers:
    """Held-out answers replayed under one token ``order``, int64 (vocab,).

    ``coverage`` is the share of the held-out tokens that the first K tokens hold, for K = 1..vocab: (vocab,). ``scan``
    sums the replays at the sizes and lengths to score; ``replay`` makes any one of them, answer by answer. With
    ``conversation_rows`` both are of drafts from the list and from so many rows; ``by_list`` is the list's own replay.
    """

    order: Ids
    coverage: Float64Array
    scan: Scan
    replay: ReplayFunction
    conversation_rows: int = 0
    by_list: ReplayFunction | None = None


def replay_answers(
    trace: AcceptanceTrace | DrawnTrace, scoring: TokenCounts, order: Ids, sizes: Numbers, draft_lengths: Numbers
) -> ReplayedAnswers:
    """Replay the ``trace`` of the answers whose tokens ``scoring`` counts, at all ``sizes`` and ``draft_lengths``."""
    replayed = replay_function(trace, order)
    if isinstance(trace, AcceptanceTrace):
        windows = acceptance_windows(trace, ranks_of(order))
        scanned = scan(windows, sizes, draft_lengths)
    else:
        scanned = scan_replays(replayed, sizes, draft_lengths)
    return ReplayedAnswers(order=order, coverage=coverage_by_size(scoring, order), scan=scanned, replay=replayed)


def replay_function(trace: AcceptanceTrace | DrawnTrace, order: Ids) -> ReplayFunction:
    """Build the replay of ``trace`` under a token order: exact, or expected values for drawn answers."""
    ranks = ranks_of(order)
    if isinstance(trace, AcceptanceTrace):
        windows = acceptance_windows(trace, ranks)
        replayed = replay_depths if windows.deeper else replay
        return lambda size, draft_length: replayed(windows, size, draft_length)

    # Callers ask for all draft lengths of one size before the next size.
    @lru_cache(maxsize=4)
    def expected(size: int) -> ExpectedAcceptance:
        return expected_acceptance(trace, ranks, size)

    return lambda size, draft_length: expected_replay(expected(size), draft_length)


def tiled_sizes(vocab_size: int) -> Ids:
    """Return every draft vocabulary size whose head is whole tiles, and the whole vocabulary."""
    return np.append(np.arange(ROW_TILE, vocab_size, ROW_TILE), vocab_size)


def scan(windows: AcceptanceWindows, sizes: Numbers, draft_lengths: Numbers = DRAFT_LENGTHS) -> Scan:
    """Sum the replays of all answers at each of the ascending ``sizes`` and draft lengths, exactly."""
    if windows.deeper:
        return scan_depths(windows, sizes, draft_lengths)
    sizes, draft_lengths = _grid(sizes, draft_lengths)
    changes = _changes(windows)
    done = np.searchsorted(changes.sizes, sizes, side="right")
    positions = len(windows.low)
    # Amounts of an empty draft vocabulary: every position is refused, so each takes a round and an examined draft.
    start = (positions, 0, 0, positions)
    table = np.empty((4, len(sizes), len(draft_lengths)), dtype=np.int64)
    for column, length in enumerate(draft_lengths.tolist()):
        for row, steps in enumerate(_steps(changes, length)):
            table[row, :, column] = start[row] + np.append(0, np.cumsum(steps))[done]
    return _scan(sizes, draft_lengths, table, positions)


def scan_depths(windows: AcceptanceWindows, sizes: Numbers, draft_lengths: Numbers) -> Scan:
    """Sum `replay_depths` over the answers at each size and draft length, exactly; many sizes at a time."""
    sizes, draft_lengths = _grid(sizes, draft_lengths)
    table = np.empty((4, len(sizes), len(draft_lengths)), dtype=np.int64)
    for column, length in enumerate(draft_lengths.tolist()):
        for start in range(0, len(sizes), _SIZES_AT_ONCE):
            some = slice(start, start + _SIZES_AT_ONCE)
            counts = walk(windows, sizes[some], length)
            parts = (counts.rounds, counts.full_rounds, counts.accepted, counts.evaluated)
            table[:, some, column] = [part.sum(axis=1) for part in parts]
    return _scan(sizes, draft_lengths, table, len(windows.low))


def scan_replays(replayed: ReplayFunction, sizes: Numbers, draft_lengths: Numbers) -> Scan:
    """Sum any replay, such as that of drawn answers, at one size and draft length after the other; float64."""
    sizes, draft_lengths = _grid(sizes, draft_lengths)
    table, tokens = np.empty((4, len(sizes), len(draft_lengths))), 0
    for row, size in enumerate(sizes.tolist()):
        for column, length in enumerate(draft_lengths.tolist()):
            outcome = replayed(size, length)
            parts = (outcome.rounds, outcome.full_rounds, outcome.accepted, outcome.evaluated)
            table[:, row, column] = [part.sum() for part in parts]
            tokens = int(outcome.tokens.sum())
    return _scan(sizes, draft_lengths, table, tokens)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Changes:
    """Positions that become accepted or refused, in the order of the sizes at which they do: arrays (changes,).

    ``signs`` is 1 where the position becomes accepted, -1 where it becomes refused. While it is refused there are
    ``left`` accepted positions right before it and ``right`` right after; ``ended`` is 1 where the latter end with
    their answer instead of a refusal.
    """

    sizes: Ids
    signs: Ids
    left: Ids
    right: Ids
    ended: Ids


def _changes(windows: AcceptanceWindows) -> _Changes:
    ever = np.flatnonzero(windows.low < windows.high)
    sizes = np.concatenate([windows.low[ever], windows.high[ever]]) + 1
    order = np.argsort(sizes, kind="stable")
    positions = np.concatenate([ever, ever])[order]
    accepts = order < len(ever)
    owners = np.searchsorted(windows.offsets, positions, side="right") - 1
    around = _neighbours(windows.offsets, positions, owners, accepts)
    return _Changes(
        sizes=sizes[order],
        signs=np.where(accepts, 1, -1),
        left=positions - around[:, 0] - 1,
        right=around[:, 1] - positions - 1,
        ended=(around[:, 1] == windows.offsets[owners + 1]).astype(np.int64),
    )


def _neighbours(offsets: Ids, positions: Ids, owners: Ids, accepts: npt.NDArray[np.bool_]) -> Ids:
    """Find the refused positions next to each changing one at that time, or the answer's bounds: int64 (changes, 2)."""
    # Each line of refused positions has the answer's bounds at its ends, so that every position has two neighbours.
    refused = [list(range(start - 1, end + 1)) for start, end in pairwise(offsets.tolist())]
    neighbours = []
    for position, owner, accept in zip(positions.tolist(), owners.tolist(), accepts.tolist(), strict=True):
        line = refused[owner]
        place = bisect_left(line, position)
        if accept:
            neighbours.append((line[place - 1], line[place + 1]))
            del line[place]
        else:
            neighbours.append((line[place - 1], line[place]))
            line.insert(place, position)
    return np.array(neighbours, dtype=np.int64).reshape(-1, 2)


def _steps(changes: _Changes, draft_length: int) -> Ids:
    """Compute how each change moves rounds, full rounds, accepted and evaluated drafts: int64 (4, changes)."""
    joined = _amounts(changes.left + 1 + changes.right, changes.ended, draft_length)
    parted = _amounts(changes.left, np.zeros_like(changes.left), draft_length)
    return changes.signs * (joined - parted - _amounts(changes.right, changes.ended, draft_length))


def _amounts(accepted: Ids, ended: Ids, draft_length: int) -> Ids:
    """Count rounds, full rounds, accepted and evaluated drafts of runs: int64 (4, runs).

    A run holds ``accepted`` positions and, unless it ``ended`` with its answer, a refused one. Every γ + 1st token of a
    run is the target's own, whether or not a draft would have been right.
    """
    period, tokens = draft_length + 1, accepted + 1 - ended
    # -(-a // b) rounds up: the last round of a run may be a short one.
    rounds, full_rounds = -(-tokens // period), (accepted + 1) // period
    return np.stack([rounds, full_rounds, accepted - accepted // period, tokens - tokens // period])


def _grid(sizes: Numbers, draft_lengths: Numbers) -> tuple[Ids, Ids]:
    return np.asarray(sizes, dtype=np.int64), np.asarray(draft_lengths, dtype=np.int64)


def _scan(sizes: Ids, draft_lengths: Ids, table: CountArray, tokens: int) -> Scan:
    rounds, full_rounds, accepted, evaluated = table
    return Scan(
        sizes=sizes,
        draft_lengths=draft_lengths,
        rounds=rounds,
        full_rounds=full_rounds,
        accepted=accepted,
        evaluated=evaluated,
        tokens=tokens,
    )


def _ratio(above: CountArray, below: CountArray) -> Float64Array:
    """Divide ``above`` by ``below``, 0 where ``below`` is 0."""
    return np.divide(above, below, out=np.zeros(below.shape), where=below > 0)
