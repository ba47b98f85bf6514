"""Verifiers: what a target's pass makes of a draft. It commits the tokens accepted and one of the target's own."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from edgedraft.runtime.base.arrays import Logits, Probabilities
from edgedraft.runtime.core.sampler import NO_IDS, DraftToken
from edgedraft.runtime.core.sampling import SamplingSettings, adjusted, probabilities, verify_draws
from edgedraft.runtime.core.verify import accepted_prefix, greedy_choices, require_finite


class Verifier(Protocol):
    """Decides which drafted tokens the target accepts."""

    def verify(self, draft: Sequence[DraftToken], logits: Logits, context_ids: Sequence[int]) -> list[int]:
        """Return the tokens to commit: the accepted part of ``draft``, then one token of the target's own.

        ``logits``: (len(draft) + 1, vocab); row i follows ``context_ids`` and the first i drafted tokens. Raises
        `EdgedraftError` where they are not finite numbers.
        """
        ...


class GreedyVerifier:
    """Accepts what the target would have chosen itself: the text is its own greedy text."""

    def verify(self, draft: Sequence[DraftToken], logits: Logits, context_ids: Sequence[int]) -> list[int]:
        """See `Verifier.verify`."""
        choices = greedy_choices(logits, "the target")
        return choices[: accepted_prefix([token.token_id for token in draft], choices) + 1]


class RandomVerifier:
    """Accepts at random, so that the text follows the target's own distribution under ``settings`` exactly."""

    def __init__(self, settings: SamplingSettings, rng: np.random.Generator) -> None:
        self._settings = settings
        self._rng = rng

    def verify(self, draft: Sequence[DraftToken], logits: Logits, context_ids: Sequence[int]) -> list[int]:
        """See `Verifier.verify`."""
        require_finite(bool(np.isfinite(logits.max(axis=-1)).all()), "the target")
        draft_ids = [token.token_id for token in draft]
        by_target = [self._by_target(row, [*context_ids, *draft_ids[:place]]) for place, row in enumerate(logits)]
        return verify_draws(draft_ids, [token.by_drafter for token in draft], by_target, self._rng)

    def _by_target(self, row: Logits, context_ids: Sequence[int]) -> Probabilities:
        settings = self._settings
        seen = np.unique(np.asarray(context_ids, dtype=np.int64)) if settings.reads_context else NO_IDS
        return probabilities(adjusted(row, settings, seen, settings.logit_bias), settings)
