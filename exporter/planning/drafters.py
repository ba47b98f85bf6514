"""Drafters weighed against each other: those that were planned, n-gram lookup, and none, on one device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.exporter.planning.lookup import best_lookup
from edgedraft.exporter.planning.planner import Planned
from edgedraft.exporter.planning.scoring import PairLatency

NONE, LOOKUP, INDEPENDENT = "none", "n-gram lookup", "independent"
"""Kinds of drafters beside the kinds of layers that read the target's states."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DrafterOption:
    """The best that one drafter can do on the device: its plan, where a round's seconds go, and what it predicts.

    ``first_seconds`` is the drafter's first pass of a round, ``next_seconds`` each further one, ``verify_seconds`` the
    target's pass, with what it reads again. ``speed_up`` is against the fastest way without drafts. ``taken`` marks the
    one that is planned for.
    """

    drafter: str
    kind: str
    draft_vocab_size: int | None
    draft_length: int
    block_efficiency: float
    acceptance_rate: float
    first_seconds: float
    next_seconds: float
    verify_seconds: float
    tokens_per_second: float
    speed_up: float
    memory_bytes: int | None
    taken: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DrafterComparison:
    """The options, the fastest first, and a sentence that says which was taken and why."""

    options: tuple[DrafterOption, ...]
    reason: str


def fastest(plans: Sequence[Planned]) -> Planned:
    """Return the plan with the highest predicted speed of drafting; the first one of equals."""
    return max(plans, key=lambda each: each.decision.best.tokens_per_second)


def compare_drafters(plans: Sequence[Planned], taken: Planned, answers: Sequence[SampledAnswer]) -> DrafterComparison:
    """Put the planned drafters, n-gram lookup over the held-out ``answers``, and no drafter side by side.

    Without answers, which saved calibrations lack, lookup is left out.
    """
    alone = max(1 / plan.latency.target_seconds(1) for plan in plans)
    options = [_planned_option(plan, alone) for plan in plans]
    none = _without_drafter(min((plan.latency for plan in plans), key=lambda each: each.target_seconds(1)))
    place = plans.index(taken)
    if taken.plan.speculate:
        options[place] = replace(options[place], taken=True)
    else:
        none = replace(none, taken=True)
    looked_up = _looked_up(taken.latency, answers, alone)
    every = [*options, none, *([looked_up] if looked_up else [])]
    ordered = tuple(sorted(every, key=lambda each: -each.tokens_per_second))
    return DrafterComparison(options=ordered, reason=_reason(ordered))


def _planned_option(plan: Planned, alone: float) -> DrafterOption:
    best, pair = plan.decision.best, plan.pair
    costs = plan.latency.draft_costs(best.draft_vocab_size)
    return DrafterOption(
        drafter=pair.drafter.source.name,
        kind=drafter_kind(plan),
        draft_vocab_size=best.draft_vocab_size,
        draft_length=best.draft_length,
        block_efficiency=best.block_efficiency,
        acceptance_rate=best.acceptance_rate,
        first_seconds=costs.first,
        next_seconds=costs.next,
        verify_seconds=plan.latency.target_seconds(best.draft_length + 1) + best.rereading_seconds,
        tokens_per_second=best.tokens_per_second,
        speed_up=best.tokens_per_second / alone,
        memory_bytes=best.memory_bytes,
    )


def drafter_kind(plan: Planned) -> str:
    """Return the kind of a plan's drafter: `INDEPENDENT`, or that of a layer, such as "eagle3"."""
    layout = getattr(plan.pair.drafter, "layout", None)
    return INDEPENDENT if layout is None else str(layout.kind)


def _without_drafter(latency: PairLatency) -> DrafterOption:
    seconds = latency.target_seconds(1)
    return DrafterOption(
        drafter=NONE,
        kind=NONE,
        draft_vocab_size=None,
        draft_length=0,
        block_efficiency=1.0,
        acceptance_rate=0.0,
        first_seconds=0.0,
        next_seconds=0.0,
        verify_seconds=seconds,
        tokens_per_second=1 / seconds,
        speed_up=1.0,
        memory_bytes=None,
    )


def _looked_up(latency: PairLatency, answers: Sequence[SampledAnswer], alone: float) -> DrafterOption | None:
    best = best_lookup(answers, latency)
    if best is None:
        return None
    rounds, seconds = sum(best.rounds.values()), best.seconds(latency)
    return DrafterOption(
        drafter=LOOKUP,
        kind=LOOKUP,
        draft_vocab_size=None,
        draft_length=best.draft_length,
        block_efficiency=best.block_efficiency,
        acceptance_rate=best.acceptance_rate,
        first_seconds=0.0,
        next_seconds=0.0,
        verify_seconds=seconds / rounds,
        tokens_per_second=best.tokens / seconds,
        speed_up=best.tokens / seconds / alone,
        memory_bytes=None,
    )


def _reason(options: Sequence[DrafterOption]) -> str:
    """Write which option was taken, and by how much it leads or follows the others."""
    taken = next(option for option in options if option.taken)
    others = [option for option in options if not option.taken]
    listed = ", ".join(f"{each.drafter} {each.tokens_per_second:.1f}" for each in others)
    said = f"drafter: {taken.drafter}, {taken.tokens_per_second:.1f} tokens/s by the plan; the others: {listed}"
    if options[0].kind == LOOKUP:
        return f"{said}; lookup is the fastest here and needs no plan: run the bundle with --policy ngram"
    return said
