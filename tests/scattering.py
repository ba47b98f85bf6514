"""Trimmed logits laid out over the target's whole vocabulary: what an expanded graph must give."""

import numpy as np

from edgedraft.runtime.core.index_map import IndexMap


def scattered(index_map: IndexMap, logits: np.ndarray) -> np.ndarray:
    """Spread logits (rows, K) over the target's vocabulary, -inf for every token the drafter lacks."""
    full = np.full((*logits.shape[:-1], index_map.target_vocab_size), -np.inf, dtype=logits.dtype)
    full[..., index_map.target_ids] = logits
    return full
