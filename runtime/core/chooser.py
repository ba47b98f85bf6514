"""Choosing tokens from logits: greedily or by drawing. The decoding loops know a chooser by two methods."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgedraft.runtime.base.arrays import Logits, Probabilities
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.sampling import SamplingSettings, adjusted, draw, probabilities, settle_draws
from edgedraft.runtime.core.verify import accepted_prefix, greedy_choices, require_finite


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Proposal:
    """A drafted target token and the (target vocab,) distribution it was drawn from; None: it was not drawn."""

    token_id: int
    by_drafter: Probabilities | None = None


class Chooser(Protocol):
    """Turns logits into tokens. Neither method may look at how long the draft is going to be."""

    def propose(self, logits: Logits, index_map: IndexMap, context_ids: Sequence[int]) -> Proposal:
        """The next draft from the drafter's logits (K,) after ``context_ids``."""
        ...

    def settle(self, proposals: Sequence[Proposal], logits: Logits, context_ids: Sequence[int]) -> list[int]:
        """The tokens a target pass settles: the drafts kept and one of its own.

        ``logits``: (len(proposals) + 1, vocab); row i follows ``context_ids`` and the first i drafts.
        """
        ...


class GreedyChooser:
    """The best token, always: speculation then gives the target's own greedy text."""

    def propose(self, logits: Logits, index_map: IndexMap, context_ids: Sequence[int]) -> Proposal:
        """See `Chooser.propose`."""
        return Proposal(token_id=index_map.to_target(greedy_choices(logits[None], "the drafter")[0]))

    def settle(self, proposals: Sequence[Proposal], logits: Logits, context_ids: Sequence[int]) -> list[int]:
        """See `Chooser.settle`."""
        choices = greedy_choices(logits, "the target")
        return choices[: accepted_prefix([proposal.token_id for proposal in proposals], choices) + 1]


class SampledChooser:
    """Draws by ``settings``; speculation then gives text that follows the target's own distribution exactly."""

    def __init__(self, settings: SamplingSettings, rng: np.random.Generator) -> None:
        self._settings = settings
        self._rng = rng

    def propose(self, logits: Logits, index_map: IndexMap, context_ids: Sequence[int]) -> Proposal:
        """See `Chooser.propose`. The same steps shape the drafter's distribution, so that drafts are kept often."""
        require_finite(bool(np.isfinite(logits.max())), "the drafter")
        settings = self._settings
        seen = index_map.to_draft(sorted(set(context_ids))) if settings.reads_context else _NONE
        biased = {token: bias for token, bias in settings.logit_bias.items() if index_map.holds([token])}
        rows = index_map.to_draft(sorted(biased))
        bias = {int(row): biased[token] for row, token in zip(rows, sorted(biased), strict=True)}
        drawn = probabilities(adjusted(logits, settings, seen, bias), settings)
        by_drafter = np.zeros(index_map.target_vocab_size)
        by_drafter[index_map.target_ids] = drawn
        return Proposal(token_id=index_map.to_target(draw(drawn, self._rng)), by_drafter=by_drafter)

    def settle(self, proposals: Sequence[Proposal], logits: Logits, context_ids: Sequence[int]) -> list[int]:
        """See `Chooser.settle`."""
        require_finite(bool(np.isfinite(logits.max(axis=-1)).all()), "the target")
        drafts = [proposal.token_id for proposal in proposals]
        by_target = [self._by_target(row, [*context_ids, *drafts[:position]]) for position, row in enumerate(logits)]
        by_drafter = [proposal.by_drafter for proposal in proposals]
        return settle_draws(drafts, by_drafter, by_target, self._rng)

    def _by_target(self, row: Logits, context_ids: Sequence[int]) -> Probabilities:
        settings = self._settings
        seen = np.unique(np.asarray(context_ids, dtype=np.int64)) if settings.reads_context else _NONE
        return probabilities(adjusted(row, settings, seen, settings.logit_bias), settings)


_NONE = np.zeros(0, dtype=np.int64)

GREEDY = GreedyChooser()
