"""The order in which tokens enter the draft vocabulary, and the share of text that its first tokens cover."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.counts import TokenCounts, order_tokens
from edgedraft.calibration.run import Calibration
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.core.index_map import IndexMap

if TYPE_CHECKING:
    from edgedraft.exporter.models.pair import AnyPair


def rank_tokens(counts: Sequence[TokenCounts], first_ids: Sequence[int]) -> Ids:
    """Rank all token ids, the most useful first: int64 (vocab,).

    ``first_ids`` (the end of turn) come first. Then the first counts decide, later counts break ties, and the smaller
    id breaks the ties that are left (`order_tokens`).
    """
    return order_tokens([part.counts for part in counts], first_ids)


def counted_by_size(counts: Sequence[TokenCounts], first_ids: Sequence[int]) -> Ids:
    """Count the tokens that any of ``counts`` saw, or that lead every list, among the first 1..vocab: int64 (vocab,).

    The others stand in the list only by their id.
    """
    seen = np.sum([part.counts for part in counts], axis=0) > 0
    seen[list(first_ids)] = True
    result: Ids = np.cumsum(seen[rank_tokens(counts, first_ids)])
    return result


def token_order(pair: "AnyPair", calibration: Calibration) -> Ids:
    """Rank the pair's tokens by the calibration's counts, the end of turn first: int64 (vocab,).

    Tokens that the drafter has no row for come last.
    """
    return scored_first(rank_tokens(list(calibration.ranking.values()), pair.end_token_ids), pair.head_ids)


def draftable_first(order: Ids, width: int) -> Ids:
    """Return ``order`` with the ids that a head of ``width`` rows lacks moved to the end."""
    lacking = order >= width
    return np.concatenate([order[~lacking], order[lacking]])


def scored_first(order: Ids, head_ids: Ids) -> Ids:
    """Return ``order`` with the ids that no row of a head scores moved to the end; ``head_ids`` are those it scores."""
    scored = np.isin(order, head_ids)
    return np.concatenate([order[scored], order[~scored]])


def ranks_of(order: Ids) -> Ids:
    """Invert an order: ``ranks[token_id]`` is the token's place in ``order``."""
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return ranks


def index_map(order: Ids, size: int) -> IndexMap:
    """Build the map of the first ``size`` tokens of ``order``."""
    # Ascending ids, so that a trimmed head keeps its rows in the full head's order.
    return IndexMap(target_ids=np.sort(order[:size]), target_vocab_size=len(order))


def coverage_by_size(counts: TokenCounts, order: Ids) -> npt.NDArray[np.float64]:
    """Return the share of the counted tokens that the first K tokens of ``order`` hold, for K = 1..vocab: (vocab,)."""
    result: npt.NDArray[np.float64] = np.cumsum(counts.counts[order]) / max(counts.tokens, 1)
    return result


def coverage(counts: TokenCounts, order: Ids, size: int) -> float:
    """Return the share of the counted tokens that the first ``size`` tokens of ``order`` hold."""
    return float(counts.counts[order[:size]].sum() / max(counts.tokens, 1))
