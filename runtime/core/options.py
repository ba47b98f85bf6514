"""DecodingOptions: how one answer is decoded; the plan decides what is left out."""

from dataclasses import dataclass

import numpy as np

from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.decoding import GREEDY, DecodingMethod, sampled
from edgedraft.runtime.core.policies import ADAPTIVE, CONFIDENT, FIXED
from edgedraft.runtime.core.sampling import SamplingSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodingOptions:
    """Options of one answer. Where one is None, the bundle's plan decides; without ``sampling``, decoding is greedy.

    ``policy`` is one of `edgedraft.runtime.core.policies.POLICIES`. If it is None, the policy is ``confident`` with
    ``p_min``; ``fixed`` with ``draft_length``, or with ``sampling`` and ``seed`` (the adaptive draft lengths depend on
    measured time, so sampled text would not repeat); otherwise the plan's, ``adaptive`` where it names none.
    ``log_probs`` asks for the target's log-probability of every token, before temperature and filters.
    """

    speculate: bool | None = None
    policy: str | None = None
    draft_length: int | None = None
    p_min: float | None = None
    sampling: SamplingSettings | None = None
    seed: int | None = None
    log_probs: bool = False

    def __post_init__(self) -> None:
        whole = self.seed is None or (isinstance(self.seed, int) and not isinstance(self.seed, bool) and self.seed >= 0)
        require(whole, "seed: expected a whole number, 0 or more", got=self.seed)

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
