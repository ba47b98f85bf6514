"""The order in which tokens enter the draft vocabulary."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.counts import TokenCounts, order_tokens
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.core.index_map import IndexMap


def rank_tokens(counts: Sequence[TokenCounts], first_ids: Sequence[int]) -> Ids:
    """All token ids, most wanted first, int64 (vocab,).

    ``first_ids`` (the end of turn) lead; the counts decide in the order given, then the smaller id (`order_tokens`).
    """
    return order_tokens([part.counts for part in counts], first_ids)


def ranks_of(order: Ids) -> Ids:
    """The inverse: ``ranks[token_id]`` is the token's place in ``order``."""
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return ranks


def index_map(order: Ids, size: int) -> IndexMap:
    """The map of the ``size`` most wanted tokens."""
    return IndexMap(target_ids=np.sort(order[:size]), target_vocab_size=len(order))


def coverage_by_size(counts: TokenCounts, order: Ids) -> npt.NDArray[np.float64]:
    """Share of the counted tokens that the K most wanted tokens hold, for K = 1..vocab: (vocab,)."""
    result: npt.NDArray[np.float64] = np.cumsum(counts.counts[order]) / max(counts.tokens, 1)
    return result


def coverage(counts: TokenCounts, order: Ids, size: int) -> float:
    """Share of the counted tokens that the ``size`` most wanted tokens hold."""
    return float(counts.counts[order[:size]].sum() / max(counts.tokens, 1))
