"""Samplers: choose one draft token from a drafter's logits, the best one or a random one."""

from collections.abc import Mapping, Sequence
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
    """Draws draft tokens. The draw must not depend on the length of the draft."""

    def draw(self, logits: Logits, index_map: IndexMap, context_ids: Sequence[int]) -> DraftToken | None:
        """Choose the draft token after ``context_ids`` from the drafter's logits (K,).

        None if the settings leave no token to draft; the target may still have one. Raises `EdgedraftError` if the
        logits are not finite.
        """
        ...


class GreedySampler:
    """Takes the drafter's best token."""

    def draw(self, logits: Logits, index_map: IndexMap, context_ids: Sequence[int]) -> DraftToken:
        """Choose the draft token, as `Sampler.draw` describes."""
        return DraftToken(token_id=index_map.to_target(greedy_choices(logits[None], "the drafter")[0]))


class RandomSampler:
    """Samples by ``settings``: the same steps as for the target, so that drafts often agree with it."""

    def __init__(self, settings: SamplingSettings, rng: np.random.Generator) -> None:
        self._settings = settings
        self._rng = rng

    def draw(self, logits: Logits, index_map: IndexMap, context_ids: Sequence[int]) -> DraftToken | None:
        """Choose the draft token, as `Sampler.draw` describes."""
        require_finite(bool(np.isfinite(logits.max())), "the drafter")
        settings, bias = self._settings, self._draft_bias(index_map)
        if not _leaves_a_token(logits, bias):
            return None
        seen = index_map.to_draft(sorted(set(context_ids))) if settings.reads_context else NO_IDS
        distribution = probabilities(adjusted(logits, settings, seen, bias), settings)
        by_drafter = np.zeros(index_map.target_vocab_size)
        by_drafter[index_map.target_ids] = distribution
        return DraftToken(token_id=index_map.to_target(draw(distribution, self._rng)), by_drafter=by_drafter)

    def _draft_bias(self, index_map: IndexMap) -> dict[int, float]:
        """Return the logit bias by draft id, of the tokens that can be drafted."""
        bias = self._settings.logit_bias
        tokens = sorted(token for token in bias if index_map.holds([token]))
        return {int(row): bias[token] for row, token in zip(index_map.to_draft(tokens), tokens, strict=True)}


def _leaves_a_token(logits: Logits, bias: Mapping[int, float]) -> bool:
    """Return whether any token of a row of logits is possible after the bias."""
    banned = [row for row, value in bias.items() if value == -np.inf]
    return not banned or bool(np.isfinite(np.delete(logits, banned)).any())


NO_IDS: Ids = np.zeros(0, dtype=np.int64)
