"""DecodingOptions: how one answer is decoded; the plan decides what is left out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.decoding import GREEDY, DecodingMethod, sampled
from edgedraft.runtime.core.plan import DecodingPlan
from edgedraft.runtime.core.policies import ADAPTIVE, CONFIDENT, FIXED, P_MIN, PLAIN, PolicyChoice
from edgedraft.runtime.core.sampling import SamplingSettings

_GIVE_ONE = "give each setting in one place"
_OTHER_POLICY = "leave it out, choose another policy, or ask to speculate where the plan does not"


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodingOptions:
    """Options of one answer. Where one is None, the bundle's plan decides; without ``sampling``, decoding is greedy.

    ``policy`` is one of `edgedraft.runtime.core.policies.POLICIES`. If it is None, the policy is ``confident`` with
    ``p_min``; ``fixed`` with ``draft_length``, or with ``sampling`` and ``seed`` (the adaptive draft lengths depend on
    measured time, so sampled text would not repeat); otherwise the plan's, ``adaptive`` where it names none.
    ``log_probs`` asks for the target's log-probability of every token, before temperature, bias and filters, and
    ``top_log_probs`` for those of so many best tokens in its place.
    """

    speculate: bool | None = None
    policy: str | None = None
    draft_length: int | None = None
    p_min: float | None = None
    sampling: SamplingSettings | None = None
    seed: int | None = None
    log_probs: bool = False
    top_log_probs: int = 0

    def __post_init__(self) -> None:
        whole = self.seed is None or (isinstance(self.seed, int) and not isinstance(self.seed, bool) and self.seed >= 0)
        require(whole, "seed: expected a whole number, 0 or more", got=self.seed)
        require(self.top_log_probs >= 0, "top_log_probs must be 0 or more", got=self.top_log_probs)

    @property
    def drafting(self) -> str:
        """Return the policy that the other options imply if drafting is on."""
        if self.p_min is not None:
            return CONFIDENT
        repeats = self.sampling is not None and self.seed is not None
        return FIXED if repeats or self.draft_length is not None else ADAPTIVE

    def method(self) -> DecodingMethod:
        """Return the decoding method (greedy or sampling)."""
        return GREEDY if self.sampling is None else sampled(self.sampling, np.random.default_rng(self.seed))


def chosen_policy(options: DecodingOptions, plan: DecodingPlan) -> PolicyChoice:
    """Return the draft policy that follows from ``options`` and ``plan``.

    Raises `EdgedraftError` for contradicting options.
    """
    name = options.policy
    if name is None:
        name = options.drafting
        planned = plan.worth_trying if name == ADAPTIVE else plan.speculate
        if name == ADAPTIVE and plan.policy is not None:
            name, planned = plan.policy, plan.speculate
        name = name if (planned if options.speculate is None else options.speculate) else PLAIN
    elif options.speculate is not None:
        require(
            options.speculate == (name != PLAIN),
            "speculate and policy must agree",
            got=f"speculate {options.speculate} and policy {name}",
            remedy="give one of the two",
        )
    require(
        options.draft_length is None or name not in (PLAIN, ADAPTIVE),
        f"the {name} policy takes no draft length",
        got=options.draft_length,
        remedy=_OTHER_POLICY,
    )
    require(
        options.p_min is None or name == CONFIDENT,
        f"the {name} policy takes no p_min",
        got=options.p_min,
        remedy=_OTHER_POLICY,
    )
    length = plan.draft_length if options.draft_length is None else options.draft_length
    return PolicyChoice(name=name, draft_length=length, p_min=P_MIN if options.p_min is None else options.p_min)


def with_keywords(options: DecodingOptions, drawing: Mapping[str, float | None], seed: int | None) -> DecodingOptions:
    """Return ``options`` with the keywords added; refuse settings given twice, and filters with greedy decoding."""
    given = {name: value for name, value in drawing.items() if value is not None}
    twice = [*given] if options.sampling is not None else []
    twice += ["seed"] if seed is not None and options.seed is not None else []
    require(not twice, "options and keywords must not both say how to draw", got=", ".join(twice), remedy=_GIVE_ONE)
    if seed is not None:
        options = replace(options, seed=seed)
    if not given:
        return options
    temperature = given.pop("temperature", 0.0)
    settings = SamplingSettings(
        temperature=temperature,
        top_p=given.get("top_p", 1.0),
        top_k=int(given.get("top_k", 0)),
        min_p=given.get("min_p", 0.0),
    )
    drawn = temperature > 0 or not given
    require(drawn, f"{', '.join(given)}: only drawn tokens are filtered", remedy="give a temperature above 0")
    return replace(options, sampling=settings if temperature > 0 else None)
