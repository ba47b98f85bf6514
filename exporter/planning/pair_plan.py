"""Planning a calibrated pair in one or more precisions: for this machine by timing it, for another by its profile."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgedraft.calibration.run import Calibration
from edgedraft.calibration.trace.rows import AcceptanceTrace
from edgedraft.devices.latency import LatencyModel
from edgedraft.devices.machine import this_machine
from edgedraft.exporter.graph.head import round_to_tile
from edgedraft.exporter.models.pair import Pair
from edgedraft.exporter.planning.costs import DRAFT_LENGTHS, PairLatency
from edgedraft.exporter.planning.joint_search import SearchSpace
from edgedraft.exporter.planning.options import Candidate, Limits, Setup
from edgedraft.exporter.planning.pair_steps import CONTEXT_TOKENS, PairSteps, Timing, probe_pairs, probe_with_threads
from edgedraft.exporter.planning.planner import Decision, candidate_sizes, decide
from edgedraft.exporter.planning.ranking import coverage_by_size, rank_tokens, ranks_of
from edgedraft.exporter.planning.replay import acceptance_windows
from edgedraft.exporter.planning.replaying import Replaying, replaying
from edgedraft.exporter.planning.scan import Scan, scan, scan_replays, tiled_sizes
from edgedraft.exporter.planning.weighing import LONGER_ANSWERS
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.model import Clock
from edgedraft.runtime.core.plan import DecodingPlan
from edgedraft.runtime.core.statistics import bootstrap_rng


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GivenOrder:
    """A token order that comes from elsewhere, such as another engine's token map, and its name for the card."""

    name: str
    token_ids: Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanningRequest:
    """What the user decides instead of the planner (None leaves it to the planner), limits, thread counts to weigh.

    ``threads`` are counts beside that of the process's own pool; ``given`` ranks the tokens in place of the counts.
    """

    draft_vocab_size: int | None = None
    draft_length: int | None = None
    limits: Limits = field(default_factory=Limits)
    threads: tuple[int, ...] = ()
    given: GivenOrder | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a device that is not here decodes: on which execution provider, with how many threads (None: as here)."""

    provider: str
    threads: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Planned:
    """The decision with the pair it is for, the token order behind it, and the replays of any size and draft length."""

    decision: Decision
    pair: Pair
    order: Ids
    ranked_by: tuple[str, ...]
    replayed: Replaying

    @property
    def plan(self) -> DecodingPlan:
        """What the bundle carries."""
        return self.decision.plan

    def space(self, calibration: Calibration, limits: Limits) -> SearchSpace:
        """What a search may look through: all sizes, not only those that were scanned."""
        return SearchSpace(
            candidates=self.decision.weighed.candidates,
            coverage=coverage_by_size(calibration.scoring, self.order),
            draft_lengths=DRAFT_LENGTHS,
            limits=limits,
        )

    @property
    def latency(self) -> PairLatency:
        """What passes of the chosen setup cost."""
        return self.decision.weighed.candidate_of(self.decision.best).latency


def plan_here(
    pairs: Sequence[Pair],
    calibration: Calibration,
    request: PlanningRequest,
    clock: Clock,
    cache: Path,
    progress: Progress = silent,
) -> Planned:
    """Rank the tokens, time the steps of all pairs on this machine with each number of threads, and choose."""
    order, _ = _ranked(pairs[0], calibration, request)
    timing = Timing(order=order, context_ids=_some_text(calibration.trace.target_ids), clock=clock)
    plan_grid(pairs[0].vocab_size, calibration, request)
    measured = [probe_pairs(pairs, timing, cache, progress)]
    measured += [probe_with_threads(pairs, timing, threads, cache) for threads in request.threads]
    return _planned(pairs, calibration, request, _timed(pairs, measured), this_machine().name)


def plan_elsewhere(
    pairs: Sequence[Pair], calibration: Calibration, request: PlanningRequest, device: LatencyModel, place: Place
) -> Planned:
    """Rank the tokens and choose for a device that is not here, by its latency model."""
    provider = place.provider

    def latencies() -> Iterator[tuple[Pair, Setup, PairLatency]]:
        for pair in pairs:
            latency = PairLatency(
                target=device.of(pair.target.precision, provider),
                drafter=device.of(pair.drafter.precision, provider),
                target_bytes=pair.target_size.weight_bytes,
                drafter_bytes=_drafter_bytes(pair),
            )
            yield pair, _setup(pair, place.threads or pair.settings.threads, provider), latency

    return _planned(pairs, calibration, request, latencies(), device.device)


def token_order(pair: Pair, calibration: Calibration) -> Ids:
    """Tokens by the calibration's counts, the end of turn first."""
    return rank_tokens(list(calibration.ranking.values()), pair.end_token_ids)


def plan_grid(
    vocab_size: int, calibration: Calibration | None, request: PlanningRequest
) -> tuple[Sequence[int], Sequence[int]]:
    """The sizes and draft lengths to weigh, narrowed to what the user fixed; refuses what cannot be.

    Replays of drawn answers take long, so these are weighed at some sizes only.
    """
    swift = calibration is None or isinstance(calibration.trace, AcceptanceTrace)
    sizes: Sequence[int] = tiled_sizes(vocab_size).tolist() if swift else candidate_sizes(vocab_size)
    if request.draft_vocab_size is not None:
        sizes = (round_to_tile(request.draft_vocab_size, vocab_size),)
    lengths: Sequence[int] = DRAFT_LENGTHS
    if request.draft_length is not None:
        longest = DRAFT_LENGTHS[-1]
        require(1 <= request.draft_length <= longest, f"draft length: expected 1..{longest}", got=request.draft_length)
        lengths = (request.draft_length,)
    return sizes, lengths


def _some_text(target_ids: Ids) -> list[int]:
    """Enough tokens to read before steps are timed: the answers', over and over."""
    require(len(target_ids) > 0, "planning: expected answers of two tokens or more", got="none", remedy=LONGER_ANSWERS)
    return np.resize(target_ids, CONTEXT_TOKENS).tolist()


def _planned(
    pairs: Sequence[Pair],
    calibration: Calibration,
    request: PlanningRequest,
    latencies: Iterator[tuple[Pair, Setup, PairLatency]],
    device: str,
) -> Planned:
    order, ranked_by = _ranked(pairs[0], calibration, request)
    sizes, lengths = plan_grid(pairs[0].vocab_size, calibration, request)
    replayed = replaying(calibration.trace, order)
    scanned = _scanned(calibration, order, sizes, lengths)
    by_setup: Mapping[Setup, tuple[Pair, Candidate]] = {
        setup: (pair, _candidate(pair, setup, latency, scanned, replayed)) for pair, setup, latency in latencies
    }
    candidates = [candidate for _, candidate in by_setup.values()]
    covered = coverage_by_size(calibration.scoring, order)[np.array(sizes) - 1]
    decision = decide(candidates, covered, request.limits, device, bootstrap_rng())
    pair = by_setup[decision.best.setup][0]
    return Planned(decision=decision, pair=pair, order=order, ranked_by=ranked_by, replayed=replayed)


def _ranked(pair: Pair, calibration: Calibration, request: PlanningRequest) -> tuple[Ids, tuple[str, ...]]:
    """The token order, and the names of what made it."""
    if request.given is not None:
        return request.given.token_ids, (request.given.name,)
    return token_order(pair, calibration), tuple(calibration.ranking)


def _scanned(calibration: Calibration, order: Ids, sizes: Sequence[int], lengths: Sequence[int]) -> Scan:
    trace = calibration.trace
    if isinstance(trace, AcceptanceTrace):
        return scan(acceptance_windows(trace, ranks_of(order)), sizes, lengths)
    return scan_replays(replaying(trace, order), sizes, lengths)


def _candidate(pair: Pair, setup: Setup, latency: PairLatency, scanned: Scan, replayed: Replaying) -> Candidate:
    return Candidate(setup=setup, latency=latency, memory_bytes=pair.memory_bytes, scan=scanned, replayed=replayed)


def _timed(pairs: Sequence[Pair], measured: Sequence[PairSteps]) -> Iterator[tuple[Pair, Setup, PairLatency]]:
    for steps in measured:
        for pair in pairs:
            yield pair, _setup(pair, steps.threads, pair.settings.provider), steps.latency(pair)


def _setup(pair: Pair, threads: int, provider: str) -> Setup:
    return Setup(
        target_precision=pair.target.precision,
        drafter_precision=pair.drafter.precision,
        threads=threads,
        provider=provider,
    )


def _drafter_bytes(pair: Pair) -> Callable[[int], int]:
    return lambda size: pair.trimmed_size(size).weight_bytes
