"""Samplers: one draft token from a drafter's logits, the best one or one drawn at random."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgedraft.runtime.base.arrays import Ids, Logits, Probabilities
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.sampling import SamplingSettings, adjusted, draw, probabilities
from edgedraft.runtime.core.verify import greedy_choices, require_finite


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DraftToken:
    """A drafted token, as an id of the target.

    ``by_drafter``: float64 (target vocab,), the distribution it was drawn from; None where it was not drawn.
    """

    token_id: int
    by_drafter: Probabilities | None = None


class Sampler(Protocol):
    """Draws draft tokens. It must not look at how long the draft is going to be."""

    def draw(self, logits: Logits, index_map: IndexMap, context_ids: Sequence[int]) -> DraftToken:
        """Choose the draft token after ``context_ids`` from the drafter's logits (K,).

        Raises `EdgedraftError` where the logits are not finite numbers.
        """
        ...


class GreedySampler:
    """Takes the drafter's best token."""

    def draw(self, logits: Logits, index_map: IndexMap, context_ids: Sequence[int]) -> DraftToken:
        """See `Sampler.draw`."""
        return DraftToken(token_id=index_map.to_target(greedy_choices(logits[None], "the drafter")[0]))


class RandomSampler:
    """Draws by ``settings``: what shapes the target's distribution shapes the drafter's, so that drafts agree often."""

    def __init__(self, settings: SamplingSettings, rng: np.random.Generator) -> None:
        self._settings = settings
        self._rng = rng

    def draw(self, logits: Logits, index_map: IndexMap, context_ids: Sequence[int]) -> DraftToken:
        """See `Sampler.draw`."""
        require_finite(bool(np.isfinite(logits.max())), "the drafter")
        settings = self._settings
        seen = index_map.to_draft(sorted(set(context_ids))) if settings.reads_context else NO_IDS
        distribution = probabilities(adjusted(logits, settings, seen, self._draft_bias(index_map)), settings)
        by_drafter = np.zeros(index_map.target_vocab_size)
        by_drafter[index_map.target_ids] = distribution
        return DraftToken(token_id=index_map.to_target(draw(distribution, self._rng)), by_drafter=by_drafter)

    def _draft_bias(self, index_map: IndexMap) -> dict[int, float]:
        """Return the logit bias by draft id, of the tokens that can be drafted."""
        bias = self._settings.logit_bias
        tokens = sorted(token for token in bias if index_map.holds([token]))
        return {int(row): bias[token] for row, token in zip(index_map.to_draft(tokens), tokens, strict=True)}


NO_IDS: Ids = np.zeros(0, dtype=np.int64)
