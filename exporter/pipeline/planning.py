"""Planning a calibrated pair in one or more precisions: for this machine by timing it, for another by its forecast."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgedraft.calibration.run import TRACED_DEPTHS, Calibration
from edgedraft.calibration.trace.rows import AcceptanceTrace
from edgedraft.devices.machine import this_machine
from edgedraft.exporter.graph.head import round_to_tile
from edgedraft.exporter.graph.head_rows import head_entry
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.graph.precisions import timed_as
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.pair import AnyPair
from edgedraft.exporter.pipeline.layer_steps import forecast_layer
from edgedraft.exporter.pipeline.measuring import CONTEXT_TOKENS, Timing, pair_latency, probe_pairs, probe_with_threads
from edgedraft.exporter.pipeline.remote_device import LatencyForecast
from edgedraft.exporter.planning.conversation import (
    ConversationTrace,
    conversation_replays,
    is_trace_of,
    replay_with_rows,
)
from edgedraft.exporter.planning.planner import Decision, Planned, candidate_sizes, decide
from edgedraft.exporter.planning.ranking import token_order
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS
from edgedraft.exporter.planning.row_costs import LEAST_LIST, SUGGESTED_ROWS, rows_advice, with_rows
from edgedraft.exporter.planning.scan import replay_answers, tiled_sizes
from edgedraft.exporter.planning.scoring import LONGER_ANSWERS, Candidate, PairLatency, PlanLimits, Setup
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.model import Clock
from edgedraft.runtime.core.statistics import bootstrap_rng


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GivenOrder:
    """A token order that does not come from counts, such as another engine's token map, and its name for the card."""

    name: str
    token_ids: Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanningRequest:
    """The user's own choices (None leaves one to the planner), limits, and thread counts to weigh.

    ``threads`` are counts beside that of the process's own pool; ``given`` ranks the tokens in place of the counts.
    ``conversation_rows`` is how many tokens of the text the drafter may draft beside its list.
    """

    draft_vocab_size: int | None = None
    draft_length: int | None = None
    limits: PlanLimits = field(default_factory=PlanLimits)
    threads: tuple[int, ...] = ()
    given: GivenOrder | None = None
    conversation_rows: int = 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PlanningCase:
    """One drafter to plan for: its pairs, one a combination of precisions, their calibration, and the request."""

    pairs: tuple[AnyPair, ...]
    calibration: Calibration
    request: PlanningRequest


def plan_here(
    pairs: Sequence[AnyPair],
    calibration: Calibration,
    request: PlanningRequest,
    clock: Clock,
    cache: Path,
    progress: Progress = silent,
) -> Planned:
    """Plan one drafter for this machine; see `plan_cases_here`."""
    case = PlanningCase(pairs=tuple(pairs), calibration=calibration, request=request)
    return plan_cases_here([case], clock, cache, progress)[0]


def plan_cases_here(
    cases: Sequence[PlanningCase], clock: Clock, cache: Path, progress: Progress = silent
) -> list[Planned]:
    """Time the steps of all drafters and targets on this machine, with each number of threads, and plan each case.

    All models are timed in one interleaved run, so that the plans of several drafters can be compared.
    """
    first, pairs = cases[0], [pair for case in cases for pair in case.pairs]
    for case in cases:  # refuse an impossible request before minutes of timing
        _grid(case)
    order, _ = _ranked(first.pairs[0], first.calibration, first.request)
    context_ids = _some_text(first.calibration.trace.target_ids)
    timing = Timing(order=order, context_ids=context_ids, clock=clock)
    measured = [probe_pairs(pairs, timing, cache, progress)]
    measured += [probe_with_threads(pairs, timing, threads, cache) for threads in first.request.threads]

    def candidates(case: PlanningCase) -> Iterator[tuple[AnyPair, Candidate]]:
        for steps in measured:
            for pair in case.pairs:
                for latency in steps.latencies(pair):
                    yield pair, _candidate(pair, steps.threads, pair.settings.provider, latency)

    return [_planned(candidates(case), case, this_machine().name) for case in cases]


def plan_elsewhere(
    pairs: Sequence[AnyPair], calibration: Calibration, request: PlanningRequest, forecast: LatencyForecast
) -> Planned:
    """Rank the tokens and choose for a device that is not this machine, by the forecast of its latency."""
    case = PlanningCase(pairs=tuple(pairs), calibration=calibration, request=request)
    device, provider = forecast.latency, forecast.provider

    def candidates() -> Iterator[tuple[AnyPair, Candidate]]:
        for pair in pairs:
            target, drafter = (device.of(timed_as(each.precision), provider) for each in (pair.target, pair.drafter))
            reading = None
            if isinstance(pair, EaglePair):
                drafter, reading = forecast_layer(pair, drafter)
            latency = pair_latency(pair, target, drafter, reading)
            yield pair, _candidate(pair, forecast.threads, provider, latency)

    return _planned(candidates(), case, device.device)


def longest_draft(pair: AnyPair) -> int:
    """Return the longest draft to plan for: a drafter that feeds on its own states is traced to a limited depth."""
    return TRACED_DEPTHS if isinstance(pair, EaglePair) else DRAFT_LENGTHS[-1]


def _grid(case: PlanningCase) -> tuple[Sequence[int], Sequence[int]]:
    longest = case.calibration.trace.most_drafts or DRAFT_LENGTHS[-1]
    return plan_grid(case.pairs[0].most_draft_tokens, case.calibration, case.request, longest)


def plan_grid(
    vocab_size: int, calibration: Calibration | None, request: PlanningRequest, longest: int = DRAFT_LENGTHS[-1]
) -> tuple[Sequence[int], Sequence[int]]:
    """Return the sizes and draft lengths (1..``longest``) to score, narrowed to the user's own choices.

    Replays of drawn answers and of rows take long, so these are scored at some sizes only. Raises `EdgedraftError`
    where a choice is out of range.
    """
    swift = calibration is None or isinstance(calibration.trace, AcceptanceTrace)
    sizes: Sequence[int] = tiled_sizes(vocab_size).tolist() if swift else candidate_sizes(vocab_size)
    if request.conversation_rows:
        sizes = candidate_sizes(vocab_size, LEAST_LIST)
    if request.draft_vocab_size is not None:
        sizes = (round_to_tile(request.draft_vocab_size, vocab_size),)
    lengths: Sequence[int] = DRAFT_LENGTHS[:longest]
    if request.draft_length is not None:
        require(1 <= request.draft_length <= longest, f"draft length: expected 1..{longest}", got=request.draft_length)
        lengths = (request.draft_length,)
    return sizes, lengths


def _some_text(target_ids: Ids) -> list[int]:
    """Repeat the answers' tokens until there are enough to read before steps are timed."""
    require(len(target_ids) > 0, "planning: expected answers of two tokens or more", got="none", remedy=LONGER_ANSWERS)
    return np.resize(target_ids, CONTEXT_TOKENS).tolist()


def _planned(pairs: Iterator[tuple[AnyPair, Candidate]], case: PlanningCase, device: str) -> Planned:
    by_setup = {candidate.setup: (pair, candidate) for pair, candidate in pairs}
    calibration, request, first = case.calibration, case.request, case.pairs[0]
    order, ranked_by = _ranked(first, calibration, request)
    grid, limit = _grid(case), request.conversation_rows
    candidates = [candidate for _, candidate in by_setup.values()]
    if limit:
        answers = replay_with_rows(_traced(first, calibration), calibration.scoring, order, limit, grid)
        candidates = [with_rows(each, limit, first.head_row.parameters) for each in candidates]
    else:
        answers = replay_answers(calibration.trace, calibration.scoring, order, *grid)
    decision = decide(candidates, answers, request.limits, device, bootstrap_rng())
    decision = decision if limit else _with_advice(decision, first, calibration)
    return Planned(decision=decision, pair=by_setup[decision.best.setup][0], ranked_by=ranked_by)


def _with_advice(decision: Decision, pair: AnyPair, calibration: Calibration) -> Decision:
    """Add a sentence to the decision where rows from the conversation would pay on the same answers."""
    trace, answers = calibration.trace, calibration.scoring_answers
    if isinstance(pair, EaglePair) or not isinstance(trace, AcceptanceTrace) or not is_trace_of(trace, answers):
        return decision
    order = decision.scored.answers.order
    replayed = conversation_replays(_traced(pair, calibration), order, SUGGESTED_ROWS)
    advice = rows_advice(decision.scored, decision.best, replayed, pair.head_row.parameters)
    return decision if advice is None else replace(decision, gives_up=(*decision.gives_up, advice))


def _traced(pair: AnyPair, calibration: Calibration) -> ConversationTrace:
    """Return the calibration's trace with the texts that it is of."""
    answers = calibration.scoring_answers
    return ConversationTrace(trace=calibration.trace, answers=answers, scored=pair.most_draft_tokens)


def require_rows(pair: AnyPair) -> None:
    """Refuse rows from the conversation where the drafter's head cannot give them."""
    if isinstance(pair, EaglePair):
        rule = "conversation_rows: expected a drafter that decodes by itself"
        raise EdgedraftError(rule, got=pair.drafter.layout.kind, remedy="leave the rows out")
    head_entry(load_graph(pair.drafter.graph), "head")


def _ranked(pair: AnyPair, calibration: Calibration, request: PlanningRequest) -> tuple[Ids, tuple[str, ...]]:
    """Return the token order, and the names of what made it."""
    if request.given is not None:
        return request.given.token_ids, (request.given.name,)
    return token_order(pair, calibration), tuple(calibration.ranking)


def _candidate(pair: AnyPair, threads: int, provider: str, latency: PairLatency) -> Candidate:
    setup = Setup(
        target_precision=pair.target.precision,
        drafter_precision=pair.drafter.precision,
        threads=threads,
        provider=provider,
        kernels=latency.kernels,
    )
    return Candidate(setup=setup, latency=latency, memory_bytes=pair.memory_bytes)
