"""Choosing draft vocabulary and draft length: predicted tokens per second from replayed acceptance and step times.

Predicted seconds of an answer = rounds · (γ · drafter(K, 1 row) + target(γ + 1 rows)) + full rounds · the drafter's
second row. Nothing here knows a device: costs come in as two functions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgedraft.exporter.head import round_to_tile
from edgedraft.exporter.planning.replay import Replay
from edgedraft.runtime.plan import DecodingPlan
from edgedraft.runtime.records import require

DRAFT_LENGTHS = tuple(range(1, 9))

WORTHWHILE_SPEED_UP = 1.03
"""Below this the predicted gain is within what step times on a busy machine can tell apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCosts:
    """Seconds of a pass: ``drafter(K, rows)`` and ``target(rows)``."""

    drafter: Callable[[int, int], float]
    target: Callable[[int], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One (K, γ) with what the held-out prompts predict for it."""

    draft_vocab_size: int
    draft_length: int
    block_efficiency: float
    acceptance_rate: float
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanSettings:
    """What the plan records beside its choice."""

    target_precision: str
    drafter_precision: str
    threads: int
    device: str


def candidate_sizes(vocab_size: int) -> tuple[int, ...]:
    """Draft vocabulary sizes to weigh: about two a doubling from 1024, and the whole vocabulary."""
    doublings = (int(1024 * 2 ** (step / 2)) for step in range(32))
    return tuple(sorted({*(round_to_tile(size, vocab_size) for size in doublings if size < vocab_size), vocab_size}))


def weigh(
    replayed: Callable[[int, int], Replay],
    costs: StepCosts,
    sizes: Sequence[int],
    draft_lengths: Sequence[int] = DRAFT_LENGTHS,
) -> list[Option]:
    """Every (K, γ) of the grid, ``replayed(K, γ)`` at its cost, best predicted tokens per second first."""
    options = [_option(size, length, replayed(size, length), costs) for size in sizes for length in draft_lengths]
    return sorted(options, key=lambda option: -option.tokens_per_second)


def choose(options: Sequence[Option], costs: StepCosts, settings: PlanSettings) -> DecodingPlan:
    """The plan for the best option, with the verdict and its reason."""
    best = max(options, key=lambda option: option.tokens_per_second)
    plain = 1.0 / costs.target(1)
    speculate = best.tokens_per_second / plain >= WORTHWHILE_SPEED_UP
    return DecodingPlan(
        draft_vocab_size=best.draft_vocab_size,
        draft_length=best.draft_length,
        target_precision=settings.target_precision,
        drafter_precision=settings.drafter_precision,
        threads=settings.threads,
        predicted_tokens_per_second=best.tokens_per_second,
        predicted_plain_tokens_per_second=plain,
        predicted_block_efficiency=best.block_efficiency,
        predicted_acceptance_rate=best.acceptance_rate,
        target_pass_seconds=tuple(costs.target(rows) for rows in range(1, DRAFT_LENGTHS[-1] + 2)),
        drafter_pass_seconds=tuple(costs.drafter(best.draft_vocab_size, rows) for rows in (1, 2)),
        speculate=speculate,
        reason=_reason(best, plain, costs),
        device=settings.device,
    )


def predicted_seconds(outcome: Replay, size: int, draft_length: int, costs: StepCosts) -> float:
    """Seconds that the replayed answers would take."""
    one, two = costs.drafter(size, 1), costs.drafter(size, 2)
    per_round = draft_length * one + costs.target(draft_length + 1)
    return float(outcome.rounds.sum() * per_round + outcome.full_rounds.sum() * (two - one))


def _option(size: int, draft_length: int, outcome: Replay, costs: StepCosts) -> Option:
    tokens, remedy = int(outcome.tokens.sum()), "allow longer answers or use other prompts"
    require(tokens > 0, "planning: expected answers of two tokens or more", got="only shorter ones", remedy=remedy)
    return Option(
        draft_vocab_size=size,
        draft_length=draft_length,
        block_efficiency=outcome.block_efficiency,
        acceptance_rate=outcome.acceptance_rate,
        tokens_per_second=tokens / predicted_seconds(outcome, size, draft_length, costs),
    )


def _reason(best: Option, plain: float, costs: StepCosts) -> str:
    """The verdict's arithmetic in one sentence."""
    gamma = best.draft_length
    drafting = 1e3 * gamma * costs.drafter(best.draft_vocab_size, 1)
    verifying = 1e3 * costs.target(gamma + 1)
    verdict = "speculate" if best.tokens_per_second / plain >= WORTHWHILE_SPEED_UP else "do not speculate"
    return (
        f"{verdict}: a round of {gamma} drafts takes {drafting:.0f} ms of drafting and {verifying:.0f} ms of verifying "
        f"and yields {best.block_efficiency:.2f} tokens, {best.tokens_per_second:.1f} tokens/s; "
        f"the target alone makes {plain:.1f} tokens/s"
    )
