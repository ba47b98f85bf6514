"""Draft policies by name: a source of tokens and a stop rule, composed for one answer; and the simple stop rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.adaptive import ExpectedGain
from edgedraft.runtime.core.drafter import NO_DRAFTS, Drafter
from edgedraft.runtime.core.model import Clock
from edgedraft.runtime.core.ngram import NgramSource
from edgedraft.runtime.core.pass_times import PairPassTimes
from edgedraft.runtime.core.sources import FirstOf
from edgedraft.runtime.core.token_drafter import ModelStep, StopRule, TokenDrafter, TokenOffer, TokenSource
from edgedraft.runtime.core.verify import confidence

P_MIN = 0.6


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyChoice:
    """A policy by name, with the numbers that some of them take."""

    name: str
    draft_length: int
    p_min: float = P_MIN

    def __post_init__(self) -> None:
        require(self.name in POLICIES, f"policy: expected one of {', '.join(POLICIES)}", got=self.name)
        require(self.draft_length >= 1, "draft length must be at least 1", got=self.draft_length)
        require(0 <= self.p_min <= 1, "p_min must lie in 0..1", got=self.p_min)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PolicyParts:
    """Parts of a policy: the model's source of tokens, the pass times, and a clock for the model's passes."""

    source: TokenSource
    pass_times: PairPassTimes
    clock: Clock


class FixedLength(StopRule):
    """Takes the first offer until ``draft_length`` tokens are drafted."""

    def __init__(self, draft_length: int) -> None:
        self._draft_length = draft_length

    def choose(self, offers: Sequence[TokenOffer], drafted: int) -> TokenOffer | None:
        """See `StopRule.choose`."""
        return offers[0] if offers and drafted < self._draft_length else None


class Confident(FixedLength):
    """Also ends a draft where the model's best token has a probability below ``p_min``.

    The probability is read before a token is drawn and does not depend on which one is. llama.cpp's `--draft-p-min`.
    """

    def __init__(self, draft_length: int, p_min: float) -> None:
        super().__init__(draft_length)
        self._p_min = p_min

    def accepts(self, step: ModelStep, logits: Logits, seconds: float) -> bool:
        """See `StopRule.accepts`. Logits that are not numbers pass: the sampler refuses them by name."""
        return not confidence(logits) < self._p_min


PLAIN, FIXED, CONFIDENT, ADAPTIVE = "plain", "fixed", "confident", "adaptive"

_BUILDERS: dict[str, Callable[[PolicyChoice, PolicyParts], tuple[TokenSource, StopRule]]] = {
    FIXED: lambda choice, parts: (parts.source, FixedLength(choice.draft_length)),
    CONFIDENT: lambda choice, parts: (parts.source, Confident(choice.draft_length, choice.p_min)),
    "ngram": lambda choice, parts: (NgramSource(), FixedLength(choice.draft_length)),
    "ngram-or-drafter": lambda choice, parts: (
        FirstOf(NgramSource(), parts.source),
        FixedLength(choice.draft_length),
    ),
    ADAPTIVE: lambda choice, parts: (FirstOf(NgramSource(), parts.source), ExpectedGain(parts.pass_times)),
}

POLICIES = (PLAIN, *_BUILDERS)


def build_drafter(choice: PolicyChoice, parts: PolicyParts) -> Drafter:
    """Return the drafter of the policy that ``choice`` names, for one answer over ``parts``."""
    if choice.name == PLAIN:
        return NO_DRAFTS
    source, stop = _BUILDERS[choice.name](choice, parts)
    return TokenDrafter(source, stop, parts.clock)
