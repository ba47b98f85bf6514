"""Draft policies by name: what a user asks for, made into a policy over one slot."""

from collections.abc import Callable
from dataclasses import dataclass

from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.adaptive import AdaptiveDrafts, Pace
from edgedraft.runtime.core.drafting import NO_DRAFTS, ConfidentDrafts, Drafter, DraftPolicy, FixedDrafts
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.ngram import NgramDrafts, NgramOrDrafter
from edgedraft.runtime.core.timing import TimedModel

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
class Parts:
    """What policies are made from: both memories, timed, what the drafter's ids mean, and the pace so far."""

    target: TimedModel
    drafter: TimedModel
    index_map: IndexMap
    pace: Pace

    def drafting(self) -> Drafter:
        """The drafter with its index map."""
        return Drafter(model=self.drafter, index_map=self.index_map)


PLAIN, FIXED, CONFIDENT, ADAPTIVE = "plain", "fixed", "confident", "adaptive"

_BUILDERS: dict[str, Callable[[PolicyChoice, Parts], DraftPolicy]] = {
    PLAIN: lambda choice, parts: NO_DRAFTS,
    FIXED: lambda choice, parts: FixedDrafts(parts.drafting(), choice.draft_length),
    CONFIDENT: lambda choice, parts: ConfidentDrafts(parts.drafting(), choice.draft_length, choice.p_min),
    "ngram": lambda choice, parts: NgramDrafts(choice.draft_length),
    "ngram-or-drafter": lambda choice, parts: NgramOrDrafter(parts.drafting(), choice.draft_length),
    ADAPTIVE: lambda choice, parts: AdaptiveDrafts(parts.drafting(), parts.drafter, parts.target, parts.pace),
}

POLICIES = tuple(_BUILDERS)


def build_policy(choice: PolicyChoice, parts: Parts) -> DraftPolicy:
    """The policy that ``choice`` names, for one answer over ``parts``."""
    return _BUILDERS[choice.name](choice, parts)
