"""Stop rules that need no clock: a fixed length, and the drafter's confidence."""

from collections.abc import Sequence

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.core.token_drafter import ModelStep, StopRule, TokenOffer
from edgedraft.runtime.core.verify import confidence


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
