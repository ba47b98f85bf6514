"""The decision: the fastest option within the limits, its runner-up, what it gives up, and whether to speculate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgedraft.calibration.run import Calibration
from edgedraft.exporter.graph.head import round_to_tile
from edgedraft.exporter.planning.certainty import Certainty, Finalist, certainty
from edgedraft.exporter.planning.costs import DRAFT_LENGTHS, PairLatency, StepCosts
from edgedraft.exporter.planning.joint_search import SearchSpace
from edgedraft.exporter.planning.options import Candidate, Limits, Option
from edgedraft.exporter.planning.ranking import coverage_by_size
from edgedraft.exporter.planning.replaying import Replaying
from edgedraft.exporter.planning.weighing import Weighed, weigh
from edgedraft.runtime.base.arrays import Float64Array, Ids
from edgedraft.runtime.core.plan import DecodingPlan

if TYPE_CHECKING:
    from edgedraft.exporter.models.pair import Pair

WORTHWHILE_SPEED_UP = 1.03
"""Below this the predicted gain is within what step times on a busy machine can tell apart."""

_NEAR = 2.0
"""A runner-up of the same setup and draft length must have a size more than this many times larger or smaller."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decision:
    """The plan with what it was chosen from. ``gives_up`` says in sentences what the choice costs."""

    plan: DecodingPlan
    best: Option
    runner_up: Option | None
    certainty: Certainty
    gives_up: tuple[str, ...]
    weighed: Weighed


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Planned:
    """The decision with the pair it is for, the token order behind it, and the replays of any size and draft length."""

    decision: Decision
    pair: "Pair"
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


def candidate_sizes(vocab_size: int) -> tuple[int, ...]:
    """Draft vocabulary sizes to show: about two a doubling from 1024, and the whole vocabulary."""
    doublings = (int(1024 * 2 ** (step / 2)) for step in range(32))
    return tuple(sorted({*(round_to_tile(size, vocab_size) for size in doublings if size < vocab_size), vocab_size}))


def decide(
    candidates: Sequence[Candidate],
    coverage: Float64Array,
    limits: Limits,
    device: str,
    rng: np.random.Generator,
) -> Decision:
    """Weigh all options, ``coverage`` being that of their sizes, and choose.

    Drafting must beat the fastest plain decoding of all candidates, not only that of its own precisions; where it does
    not, the plan is the fastest plain candidate with the best that drafting could do there.
    """
    weighed = weigh(candidates, coverage, limits)
    allowed = [each for each, fits in zip(candidates, weighed.allowed, strict=True) if fits.any()]
    plain = min(allowed, key=lambda each: each.latency.costs.target(1))
    best = next(weighed.ranked())
    speculate = best.tokens_per_second * plain.latency.costs.target(1) >= WORTHWHILE_SPEED_UP
    if not speculate:
        best = next(option for option in weighed.ranked() if option.setup == plain.setup)
    runner_up = next((option for option in weighed.ranked() if _differ(option, best)), None)
    sure = certainty(
        Finalist.of(best, weighed.candidate_of(best)),
        plain.latency,
        Finalist.of(runner_up, weighed.candidate_of(runner_up)) if runner_up else None,
        rng,
    )
    latency = weighed.candidate_of(best).latency
    return Decision(
        plan=_plan(best, latency, sure, speculate, device),
        best=best,
        runner_up=runner_up,
        certainty=sure,
        gives_up=tuple(_given_up(best, weighed)),
        weighed=weighed,
    )


def _differ(option: Option, best: Option) -> bool:
    """Whether two options are different plans, not neighbours on the same slope."""
    if (option.setup, option.draft_length) != (best.setup, best.draft_length):
        return True
    sizes = sorted((option.draft_vocab_size, best.draft_vocab_size))
    return sizes[1] > _NEAR * sizes[0]


def _plan(best: Option, latency: PairLatency, sure: Certainty, speculate: bool, device: str) -> DecodingPlan:
    costs = latency.costs
    return DecodingPlan(
        draft_vocab_size=best.draft_vocab_size,
        draft_length=best.draft_length,
        target_precision=best.setup.target_precision,
        drafter_precision=best.setup.drafter_precision,
        threads=best.setup.threads,
        predicted_tokens_per_second=best.tokens_per_second,
        predicted_plain_tokens_per_second=sure.plain_tokens_per_second.value,
        predicted_block_efficiency=best.block_efficiency,
        predicted_acceptance_rate=best.acceptance_rate,
        target_pass_seconds=latency.target_pass_seconds,
        drafter_pass_seconds=tuple(costs.drafter(best.draft_vocab_size, rows) for rows in (1, 2)),
        speculate=speculate,
        reason=_reason(best, costs, sure, speculate),
        device=device,
        speed_up_low=sure.speed_up.low,
        speed_up_high=sure.speed_up.high,
        chance_to_pay=sure.chance_to_pay,
    )


def _reason(best: Option, costs: StepCosts, sure: Certainty, speculate: bool) -> str:
    """The verdict's arithmetic in one sentence."""
    gamma = best.draft_length
    drafting = 1e3 * gamma * costs.drafter(best.draft_vocab_size, 1)
    verifying = 1e3 * costs.target(gamma + 1)
    alone, ratio = sure.plain_tokens_per_second.value, sure.speed_up
    return (
        f"{'speculate' if speculate else 'do not speculate'}: a round of {gamma} draft{'s' if gamma > 1 else ''} takes "
        f"{drafting:.0f} ms of drafting and {verifying:.0f} ms of verifying "
        f"and yields {best.block_efficiency:.2f} tokens, {best.tokens_per_second:.1f} tokens/s; "
        f"the target alone makes {alone:.1f} tokens/s; "
        f"speed-up {ratio.value:.2f} [{ratio.low:.2f}–{ratio.high:.2f}], {sure.chance_to_pay:.0%} likely to pay"
    )


def _given_up(best: Option, weighed: Weighed) -> list[str]:
    """What the plan does without: rare tokens, accepted drafts, and the speed that a limit forbids."""
    scan = weighed.candidate_of(best).scan
    length = scan.draft_lengths.tolist().index(best.draft_length)
    full = float(scan.block_efficiency[-1, length])
    told = []
    if best.coverage < 1:
        told.append(
            f"{1 - best.coverage:.2%} of held-out tokens cannot be drafted: τ {best.block_efficiency:.2f} "
            f"instead of {full:.2f} with all {int(scan.sizes[-1]):,} tokens"
        )
    free = next(replace(weighed, allowed=np.ones_like(weighed.allowed)).ranked())
    fastest = next(weighed.ranked())
    if free.tokens_per_second > fastest.tokens_per_second:
        told.append(
            f"the limits cost {free.tokens_per_second / fastest.tokens_per_second - 1:.1%} of speed: without them "
            f"{free.draft_vocab_size:,} draft tokens, draft length {free.draft_length} ({free.setup}) "
            f"would make {free.tokens_per_second:.1f} tokens/s in {free.memory_bytes / 2**30:.2f} GiB"
        )
    leanest = int(weighed.memory_bytes[weighed.allowed].min())
    if best.memory_bytes > 1.05 * leanest:
        told.append(f"{(best.memory_bytes - leanest) / 2**20:,.0f} MiB of memory more than the leanest plan")
    return told
