"""The decision: the fastest option within the limits, its runner-up, what it gives up, and whether to speculate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgedraft.exporter.graph.head import round_to_tile
from edgedraft.exporter.planning.scan import ReplayedAnswers, ReplayFunction
from edgedraft.exporter.planning.scoring import Candidate, Option, PairLatency, PlanLimits, ScoredOptions, score_options
from edgedraft.exporter.planning.uncertainty import Uncertainty, estimate_uncertainty
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.core.plan import WORTHWHILE_SPEED_UP, DecodingPlan

if TYPE_CHECKING:
    # For its name only: at run time this module must not load what opens models.
    from edgedraft.exporter.models.pair import AnyPair

_NEAR = 2.0
"""A runner-up of the same setup and draft length must have a size more than this many times larger or smaller."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decision:
    """The plan with the options it was chosen from. ``gives_up`` says in sentences what the choice costs."""

    plan: DecodingPlan
    best: Option
    runner_up: Option | None
    uncertainty: Uncertainty
    gives_up: tuple[str, ...]
    scored: ScoredOptions


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Planned:
    """A decision with the pair that it is for, and the names of the counts that ranked its tokens."""

    decision: Decision
    pair: "AnyPair"
    ranked_by: tuple[str, ...]

    @property
    def plan(self) -> DecodingPlan:
        """The plan that the bundle carries."""
        return self.decision.plan

    @property
    def order(self) -> Ids:
        """All token ids in the order in which they enter the draft vocabulary, int64 (vocab,)."""
        return self.decision.scored.answers.order

    @property
    def replayed(self) -> ReplayFunction:
        """The replay at any draft vocabulary size and draft length."""
        return self.decision.scored.answers.replay

    @property
    def latency(self) -> PairLatency:
        """Pass times of the chosen setup."""
        return self.decision.scored.candidate_of(self.decision.best).latency


def candidate_sizes(vocab_size: int, smallest: int = 1024) -> tuple[int, ...]:
    """Return draft vocabulary sizes to show: about two a doubling from ``smallest``, and the whole vocabulary."""
    doublings = (int(smallest * 2 ** (step / 2)) for step in range(40))
    return tuple(sorted({*(round_to_tile(size, vocab_size) for size in doublings if size < vocab_size), vocab_size}))


def decide(
    candidates: Sequence[Candidate],
    answers: ReplayedAnswers,
    limits: PlanLimits,
    device: str,
    rng: np.random.Generator,
) -> Decision:
    """Score all options of all candidates on the same answers, and choose one.

    Drafting must beat the fastest plain decoding of all candidates, not only that of its own precisions. Where it does
    not, the plan is the fastest plain candidate with the best that drafting could do there. Raises `EdgedraftError`
    where no option keeps to the limits.
    """
    scored = score_options(candidates, answers, limits)
    allowed = [each for each, fits in zip(candidates, scored.allowed, strict=True) if fits.any()]
    plain = min(allowed, key=lambda each: each.latency.target_seconds(1))
    best = next(scored.ranked())
    speculate = best.tokens_per_second * plain.latency.target_seconds(1) >= WORTHWHILE_SPEED_UP
    if not speculate:
        best = next(option for option in scored.ranked() if option.setup == plain.setup)
    runner_up = next((option for option in scored.ranked() if _differ(option, best)), None)
    uncertainty = estimate_uncertainty(scored, best, runner_up, plain.latency, rng)
    return Decision(
        plan=replace(
            _plan(best, scored.candidate_of(best).latency, uncertainty, speculate, device),
            conversation_rows=answers.conversation_rows,
        ),
        best=best,
        runner_up=runner_up,
        uncertainty=uncertainty,
        gives_up=tuple(_given_up(best, scored)),
        scored=scored,
    )


def _differ(option: Option, best: Option) -> bool:
    """Tell whether two options are different plans, not neighbours on the same slope."""
    if (option.setup, option.draft_length) != (best.setup, best.draft_length):
        return True
    sizes = sorted((option.draft_vocab_size, best.draft_vocab_size))
    return sizes[1] > _NEAR * sizes[0]


def _plan(best: Option, latency: PairLatency, uncertainty: Uncertainty, speculate: bool, device: str) -> DecodingPlan:
    return DecodingPlan(
        draft_vocab_size=best.draft_vocab_size,
        draft_length=best.draft_length,
        target_precision=best.setup.target_precision,
        drafter_precision=best.setup.drafter_precision,
        threads=best.setup.threads,
        predicted_tokens_per_second=best.tokens_per_second,
        predicted_plain_tokens_per_second=uncertainty.plain_tokens_per_second.value,
        predicted_block_efficiency=best.block_efficiency,
        predicted_acceptance_rate=best.acceptance_rate,
        target_pass_seconds=latency.target_pass_seconds,
        drafter_pass_seconds=tuple(latency.drafter_seconds(best.draft_vocab_size, rows) for rows in (1, 2)),
        speculate=speculate,
        reason=_reason(best, latency, uncertainty, speculate),
        device=device,
        speed_up_low=uncertainty.speed_up.low,
        speed_up_high=uncertainty.speed_up.high,
        chance_to_pay=uncertainty.chance_to_pay,
        kernels=best.setup.kernels,
    )


def _reason(best: Option, latency: PairLatency, uncertainty: Uncertainty, speculate: bool) -> str:
    """Write the verdict's arithmetic in one sentence."""
    gamma = best.draft_length
    drafting = 1e3 * latency.draft_costs(best.draft_vocab_size).of_round(gamma)
    verifying = 1e3 * latency.target_seconds(gamma + 1)
    again = 1e3 * best.rereading_seconds
    rereading = f", {again:.1f} ms of reading accepted drafts again" if again > 0 else ""
    alone, ratio = uncertainty.plain_tokens_per_second.value, uncertainty.speed_up
    return (
        f"{'speculate' if speculate else 'do not speculate'}: a round of {gamma} draft{'s' if gamma > 1 else ''} takes "
        f"{drafting:.0f} ms of drafting and {verifying:.0f} ms of verifying{rereading} "
        f"and yields {best.block_efficiency:.2f} tokens, {best.tokens_per_second:.1f} tokens/s; "
        f"the target alone makes {alone:.1f} tokens/s; "
        f"speed-up {ratio.text(2)}, {uncertainty.chance_to_pay:.0%} likely to pay"
    )


def _by_list(best: Option, answers: ReplayedAnswers) -> str:
    """Write what the list alone would reach, where rows from the conversation are drafted beside it."""
    if answers.by_list is None:
        return ""
    alone = answers.by_list(best.draft_vocab_size, best.draft_length).block_efficiency
    return f"with {answers.conversation_rows} rows from the conversation, {alone:.2f} without them, "


def _given_up(best: Option, scored: ScoredOptions) -> list[str]:
    """Write what the plan does without: rare tokens, accepted drafts, and the speed that a limit forbids."""
    scan = scored.answers.scan
    length = scan.draft_lengths.tolist().index(best.draft_length)
    full = float(scan.block_efficiency[-1, length])
    sentences = []
    if best.coverage < 1:
        lacking = "cannot be drafted" if scored.answers.by_list is None else "are not listed"
        rows = _by_list(best, scored.answers)
        sentences.append(
            f"{1 - best.coverage:.2%} of held-out tokens {lacking}: τ {best.block_efficiency:.2f} "
            f"{rows}instead of {full:.2f} with all {int(scan.sizes[-1]):,} tokens"
        )
    free = next(replace(scored, allowed=np.ones_like(scored.allowed)).ranked())
    fastest = next(scored.ranked())
    if free.tokens_per_second > fastest.tokens_per_second:
        sentences.append(
            f"the limits cost {free.tokens_per_second / fastest.tokens_per_second - 1:.1%} of speed: without them "
            f"{free.draft_vocab_size:,} draft tokens, draft length {free.draft_length} ({free.setup}) "
            f"would make {free.tokens_per_second:.1f} tokens/s in {free.memory_bytes / 2**30:.2f} GiB"
        )
    leanest = int(scored.memory_bytes[scored.allowed].min())
    if best.memory_bytes > 1.05 * leanest:
        sentences.append(f"{(best.memory_bytes - leanest) / 2**20:,.0f} MiB of memory more than the leanest plan")
    return sentences
