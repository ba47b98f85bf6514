"""The order in which tokens enter a draft vocabulary: counts decide, ties go to the smaller id."""

from collections.abc import Sequence

import numpy as np

from edgedraft.runtime.base.arrays import Int64Array
from edgedraft.runtime.base.records import require


def order_tokens(counts: Sequence[Int64Array], first_ids: Sequence[int]) -> Int64Array:
    """All token ids, most wanted first, int64 (vocab,).

    ``first_ids`` (the end of turn) lead; then the counts, int64 (vocab,) each, decide in the order given, each breaking
    the ties of those before it; among tokens never seen the smaller id leads, because byte-pair ids are roughly in
    order of frequency.
    """
    require(len(counts) > 0, "ranking: expected at least one count")
    vocab_size = len(counts[0])
    first = np.unique(np.asarray(first_ids, dtype=np.int64))
    outside = first[(first < 0) | (first >= vocab_size)]
    require(not len(outside), f"ranking: leading ids must lie in 0..{vocab_size - 1}", got=outside[:1])
    order = np.lexsort([np.negative(part) for part in reversed(counts)])  # stable: ties stay in order of id
    led = np.zeros(vocab_size, dtype=np.bool_)
    led[first] = True
    return np.concatenate([first, order[~led[order]]]).astype(np.int64)
