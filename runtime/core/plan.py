"""DecodingPlan: the exporter's decisions for one device, and the reason for them."""

import math
from dataclasses import dataclass, replace

from edgedraft.runtime.base.kernel_names import UNRECORDED, PairKernels
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.conversation import MOST_ROWS

WORTHWHILE_SPEED_UP = 1.03
"""Below this the predicted gain is within what step times on a busy machine can tell apart."""

WORTH_TRYING = 0.1
"""From this chance on the adaptive policy is worth its risk, a plain step and 1.5 % of the time."""


EXACT_COST = 0.03
"""Exact mode is the default where it takes less than this share of the plan's speed."""


_MOST_ROWS, _LONGEST_PASS = 4096, 86_400.0
_MOST = {"draft_vocab_size": 2**31 - 1, "draft_length": _MOST_ROWS, "threads": 4096}
_POLICIES = ("fixed", "ngram", "ngram-or-drafter", "confident", "adaptive")
_RATES = ("predicted_tokens_per_second", "predicted_plain_tokens_per_second", "predicted_block_efficiency")


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodingPlan:
    """The decisions for decoding with a bundle on the device it was planned for.

    ``predicted_*`` are tokens per second of decoding (prompt reading excluded); ``predicted_block_efficiency`` is τ on
    the held-out prompts. ``threads`` counts intra-op threads of the pool that target and drafter share.
    ``target_pass_seconds[i]`` and ``drafter_pass_seconds[i]`` are seconds of a pass over i + 1 tokens on that device.
    They were timed with ``kernels``. ``policy`` is the draft policy that won where several were compared; None where
    only fixed lengths were, and answers are drafted by the adaptive policy. ``speed_up_low`` and ``speed_up_high`` are
    the ends of the 80 % interval of the predicted speed-up. ``conversation_rows`` is how many tokens of the text that
    the draft vocabulary lacks can be drafted beside it, 0 for none.
    """

    draft_vocab_size: int
    draft_length: int
    target_precision: str
    drafter_precision: str
    threads: int
    predicted_tokens_per_second: float
    predicted_plain_tokens_per_second: float
    predicted_block_efficiency: float
    predicted_acceptance_rate: float
    target_pass_seconds: tuple[float, ...]
    drafter_pass_seconds: tuple[float, ...]
    speculate: bool
    reason: str
    device: str
    speed_up_low: float
    speed_up_high: float
    chance_to_pay: float
    kernels: PairKernels = UNRECORDED
    policy: str | None = None
    conversation_rows: int = 0

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            count = getattr(self, name)
            require(1 <= count <= most, f"plan: {name} must lie in 1..{most}", got=count)
        for name in _RATES:
            value = getattr(self, name)
            require(0 < value < math.inf, f"plan: {name} must be above 0 and finite", got=value)
        rows = self.conversation_rows
        require(0 <= rows <= MOST_ROWS, f"plan: conversation_rows must lie in 0..{MOST_ROWS}", got=rows)
        rate = self.predicted_acceptance_rate
        require(0 <= rate <= 1, "plan: predicted_acceptance_rate must lie in 0..1", got=rate)
        known = self.policy is None or self.policy in _POLICIES
        require(known, f"plan: policy must be one of {', '.join(_POLICIES)}", got=self.policy)
        chance = self.chance_to_pay
        require(0 <= chance <= 1, "plan: chance_to_pay must lie in 0..1", got=chance)
        low, high = self.speed_up_low, self.speed_up_high
        ordered = 0 < low <= high < math.inf
        require(ordered, "plan: speed_up_low must be above 0 and at most speed_up_high", got=(low, high))
        for name in ("target_pass_seconds", "drafter_pass_seconds"):
            seconds = getattr(self, name)
            counted = 1 <= len(seconds) <= _MOST_ROWS
            require(counted, f"plan: {name}: expected 1..{_MOST_ROWS} times", got=len(seconds))
            bad = next((value for value in seconds if not 0 < value < _LONGEST_PASS), None)
            require(bad is None, f"plan: {name} must lie above 0 and below {_LONGEST_PASS:.0f} s", got=bad)

    @property
    def predicted_speed_up(self) -> float:
        """Return the predicted speed-up: tokens per second with speculation divided by those without."""
        return self.predicted_tokens_per_second / self.predicted_plain_tokens_per_second

    @property
    def worth_trying(self) -> bool:
        """Return whether an adaptive policy, which stops drafting that does not pay, should try to draft."""
        return self.speculate or self.chance_to_pay >= WORTH_TRYING

    @property
    def exact_step_cost(self) -> float:
        """Return how much longer, as a share, a step without drafts takes in exact mode: two rows instead of one.

        Passes that verify drafts have at least two rows and cost the same. Infinite if two rows were not measured.
        """
        one, *more = self.target_pass_seconds
        return more[0] / one - 1 if more else math.inf

    @property
    def exact_is_cheap(self) -> bool:
        """Return whether exact mode costs less than `EXACT_COST`, as it does if nearly every pass verifies drafts."""
        return self.speculate or self.exact_step_cost < EXACT_COST

    def in_exact_mode(self) -> "DecodingPlan":
        """Return the plan with the time that a step without drafts takes in exact mode."""
        seconds = self.target_pass_seconds
        return replace(self, target_pass_seconds=(*seconds[1:2], *seconds[1:]) or seconds)
