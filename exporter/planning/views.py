"""The data behind pictures and tables: curves by size, parts of a round, speeds of a setup, clouds, and the front."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.run import Calibration
from edgedraft.exporter.planning.planner import Decision, candidate_sizes
from edgedraft.exporter.planning.ranking import coverage, ranks_of
from edgedraft.exporter.planning.replay import Replay
from edgedraft.exporter.planning.scan import ReplayFunction
from edgedraft.exporter.planning.scoring import Option, PairLatency, ScoredOptions, require_tokens
from edgedraft.runtime.base.arrays import BoolArray, Float64Array, Ids
from edgedraft.runtime.core.statistics import bootstrap_rng, ratio_interval

_SIZES_A_DOUBLING = 8
_RESAMPLINGS = 1000
_SIZES_AT_ONCE = 256
"""Bounds the (answers, sizes) table of covered tokens that is held at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """Coverage and τ on held-out prompts, one entry a size, with 95 % bootstrap intervals over the answers."""

    sizes: tuple[int, ...]
    coverage: tuple[float, ...]
    coverage_low: tuple[float, ...]
    coverage_high: tuple[float, ...]
    block_efficiency: tuple[float, ...]
    block_efficiency_low: tuple[float, ...]
    block_efficiency_high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One part of a round: its name, its milliseconds, and its share of the round."""

    what: str
    milliseconds: float
    share: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SpeedMap:
    """Predicted ``tokens_per_second`` (sizes, lengths) of one setup, and which ``sizes`` the limits ``allowed``."""

    sizes: Ids
    draft_lengths: Ids
    tokens_per_second: Float64Array
    allowed: BoolArray

    @property
    def within_limits(self) -> "np.ma.MaskedArray[tuple[int, int], np.dtype[np.float64]]":
        """The speeds, (sizes, lengths), masked where the limits forbid."""
        forbidden = np.broadcast_to(~self.allowed[:, None], self.tokens_per_second.shape)
        return np.ma.masked_array(self.tokens_per_second, forbidden)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cloud:
    """Options of one setup or of several: memory and speed of each, (options,), and whether the limits allow it."""

    label: str
    memory_bytes: npt.NDArray[np.int64]
    tokens_per_second: Float64Array
    allowed: BoolArray


def curves(
    calibration: Calibration, replayed: ReplayFunction, order: Ids, draft_length: int, also: Sequence[int] = ()
) -> Curves:
    """Compute the curves of one token order at one draft length, at the candidate sizes and at ``also``."""
    require_tokens(len(calibration.trace.target_ids))
    sizes = tuple(sorted({*candidate_sizes(len(order)), *also}))
    outcomes = [replayed(size, draft_length) for size in sizes]
    coverage_low, coverage_high = zip(*coverage_intervals(calibration, order, np.array(sizes)).tolist(), strict=True)
    low, high = zip(*(_block_efficiency_interval(outcome) for outcome in outcomes), strict=True)
    return Curves(
        sizes=sizes,
        coverage=tuple(coverage(calibration.scoring, order, size) for size in sizes),
        coverage_low=coverage_low,
        coverage_high=coverage_high,
        block_efficiency=tuple(outcome.block_efficiency for outcome in outcomes),
        block_efficiency_low=low,
        block_efficiency_high=high,
    )


def coverage_intervals(calibration: Calibration, order: Ids, sizes: Ids) -> Float64Array:
    """Return 95 % bootstrap intervals of the share of held-out tokens that each of ``sizes`` covers: (sizes, 2).

    The answers are resampled as for a single size by `ratio_interval`.
    """
    token_ids = [np.asarray(entry.token_ids, dtype=np.int64) for entry in calibration.scoring_answers]
    if not token_ids:
        # A saved calibration has no answers; its trace has them without their first token.
        token_ids = np.split(calibration.trace.target_ids, calibration.trace.offsets[1:-1])
    ranks = ranks_of(order)
    # Sorted ranks of an answer: how many lie below a size is then one binary search, for all sizes at once.
    ranked = [np.sort(ranks[answer]) for answer in token_ids if len(answer)]
    picks = bootstrap_rng().integers(0, len(ranked), size=(_RESAMPLINGS, len(ranked)))
    weights = np.stack([np.bincount(pick, minlength=len(ranked)) for pick in picks]).astype(np.float64)
    totals = weights @ np.array([len(row) for row in ranked], dtype=np.float64)
    intervals = []
    for start in range(0, len(sizes), _SIZES_AT_ONCE):
        some = sizes[start : start + _SIZES_AT_ONCE]
        covered = np.stack([np.searchsorted(row, some) for row in ranked]).astype(np.float64)
        intervals.append(np.quantile((weights @ covered) / totals[:, None], (0.025, 0.975), axis=0).T)
    return np.concatenate(intervals)


def _block_efficiency_interval(outcome: Replay) -> tuple[float, float]:
    """Bootstrap the 95 % interval of τ."""
    # Answers of one token take no round and say nothing about τ.
    counted = outcome.rounds > 0
    return ratio_interval(outcome.tokens[counted], outcome.rounds[counted], bootstrap_rng())


def explain(latency: PairLatency, outcome: Replay, size: int, draft_length: int) -> tuple[Term, ...]:
    """Split the time of a mean round into terms that add up to it."""
    drafter, target = latency.drafter, latency.target
    body = latency.drafter_bytes(0) * drafter.seconds_per_byte
    head = latency.drafter_bytes(size) * drafter.seconds_per_byte - body
    costs, rounds = latency.draft_costs(size), float(outcome.rounds.sum())
    full, accepted = float(outcome.full_rounds.sum()) / rounds, float(outcome.accepted.sum()) / rounds
    more = (
        {f"drafter's second row, after {full:.0%} of rounds": full * costs.after_full}
        if latency.reading is None
        else {
            "drafter's reading of the target's states": costs.first - costs.next,
            f"drafter's rows for {accepted:.2f} accepted drafts": accepted * costs.per_accepted,
        }
    )
    plain = latency.target_seconds(1)
    more_rows = latency.target_seconds(draft_length + 1) - plain
    seconds = {
        f"drafter's layers, {draft_length} time{'s' if draft_length > 1 else ''}": draft_length * body,
        f"drafter's head of {size:,} rows": draft_length * head,
        "drafter's overhead": draft_length * drafter.overhead_seconds,
        **more,
        "target's weights, one row": plain - target.overhead_seconds,
        "target's overhead": target.overhead_seconds,
        f"target's {draft_length} more row{'s' if draft_length > 1 else ''}": more_rows,
    }
    if latency.target_rereads:
        again = latency.rereading_seconds(draft_length, outcome.accepted, outcome.full_rounds)
        seconds["target's reading of accepted drafts again"] = float(again.sum()) / rounds
    whole = sum(seconds.values())
    return tuple(Term(what=what, milliseconds=1e3 * part, share=part / whole) for what, part in seconds.items())


def speed_map(decision: Decision) -> SpeedMap:
    """Pick the chosen setup's speeds at sizes that a picture can show, those of the plan and the runner-up included."""
    scored = decision.scored
    marked = [option.draft_vocab_size for option in (decision.best, decision.runner_up) if option is not None]
    places, candidate = thinned(scored.sizes, marked), scored.candidates.index(scored.candidate_of(decision.best))
    return SpeedMap(
        sizes=scored.sizes[places],
        draft_lengths=scored.draft_lengths,
        tokens_per_second=scored.predicted[candidate, places],
        allowed=scored.allowed[candidate, places],
    )


def thinned(sizes: Ids, kept: Sequence[int]) -> Ids:
    """Pick places among ascending ``sizes`` that show them well on a logarithmic axis: both ends and ``kept`` included.

    Neighbours are at most an eighth of a doubling apart unless nothing lies between them.
    """
    step, places = 2 ** (1 / _SIZES_A_DOUBLING), [0]
    while places[-1] < len(sizes) - 1:
        # The last size within a step; where there is none, the next one, so that the loop moves on.
        reached = int(np.searchsorted(sizes, sizes[places[-1]] * step, side="right")) - 1
        places.append(max(reached, places[-1] + 1))
    return np.union1d(places, np.flatnonzero(np.isin(sizes, kept)))


def cell_edges(sizes: Ids) -> Float64Array:
    """Compute where the cells of ascending ``sizes`` meet on a logarithmic axis, (sizes + 1,): half way in between."""
    logs = np.log(sizes)
    if len(sizes) == 1:
        return np.array([sizes[0] / 1.1, sizes[0] * 1.1])
    half = np.diff(logs) / 2
    edges: Float64Array = np.exp(np.concatenate([[logs[0] - half[0]], logs[:-1] + half, [logs[-1] + half[-1]]]))
    return edges


def runs(flags: BoolArray) -> list[tuple[int, int]]:
    """Return the first place of each run of true ``flags`` (n,) and the place behind its last."""
    bounds = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(behind)) for first, behind in bounds.reshape(-1, 2)]


def pareto_options(scored: ScoredOptions) -> tuple[Option, ...]:
    """Return the allowed options that no other beats in speed or memory without losing in the other, leanest first.

    Of options equal in both the first candidate's, then that of the smaller size and the shorter draft.
    """
    speeds = scored.tokens_per_second
    lengths, fastest = speeds.argmax(axis=2), speeds.max(axis=2)
    # By memory, then by speed: an option is on the front where it is faster than all leaner ones.
    leanest_first = np.lexsort((-fastest.ravel(), scored.memory_bytes.ravel()))
    record = np.maximum.accumulate(np.append(0.0, fastest.ravel()[leanest_first]))
    front = leanest_first[record[1:] > record[:-1]]
    places = zip(*np.unravel_index(front, fastest.shape), strict=True)
    return tuple(scored.option(int(one), int(size), int(lengths[one, size])) for one, size in places)


def window(options: Sequence[Option]) -> tuple[float, float, float, float]:
    """Return least and most bytes, least and most tokens per second of a view with all ``options`` well inside."""
    left, right = _around([option.memory_bytes for option in options])
    low, high = _around([option.tokens_per_second for option in options])
    return left, right, low, high


def _around(values: Sequence[float]) -> tuple[float, float]:
    least, most = min(values), max(values)
    margin = max(0.08 * (most - least), 0.005 * most)
    return least - margin, most + margin


def clouds(scored: ScoredOptions, named: int) -> tuple[Cloud, ...]:
    """Return options at thinned sizes: of each of the ``named`` fastest setups, then of all others together."""
    places = thinned(scored.sizes, ())
    order = np.argsort(-scored.tokens_per_second.max(axis=(1, 2)), kind="stable").tolist()
    result = [_cloud(scored, [one], places, str(scored.candidates[one].setup)) for one in order[:named]]
    rest = order[named:]
    if rest:
        result.append(_cloud(scored, rest, places, f"{len(rest)} other setup{'s' if len(rest) > 1 else ''}"))
    return tuple(result)


def _cloud(scored: ScoredOptions, candidates: list[int], places: Ids, label: str) -> Cloud:
    chosen = np.ix_(np.array(candidates), places)
    speeds = scored.predicted[chosen]
    return Cloud(
        label=label,
        memory_bytes=np.broadcast_to(scored.memory_bytes[chosen][:, :, None], speeds.shape).ravel(),
        tokens_per_second=speeds.ravel(),
        allowed=np.broadcast_to(scored.allowed[chosen][:, :, None], speeds.shape).ravel(),
    )
