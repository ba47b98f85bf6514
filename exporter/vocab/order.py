"""A token order that begins with the tokens of a map, so that planning with as many tokens keeps just those."""

from collections.abc import Sequence

import numpy as np

from edgedraft.exporter.vocab.vocab_map import REPAIR, VocabMap
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.records import require


def vocab_order(vocab_map: VocabMap, vocab_size: int, end_token_ids: Sequence[int]) -> Ids:
    """Return all token ids, int64 (vocab,): ids that end a turn, the map's others, then the rest by id.

    The first ``vocab_map.entries`` are exactly the map's tokens. Refused: a map made for another vocabulary size, with
    repeats, or without an id that ends a turn (a drafter that lacks one never proposes the end).
    """
    sized = vocab_map.with_vocab_size(vocab_size)
    sized.require_distinct()
    missing = ", ".join(map(str, sized.missing(end_token_ids)))
    require(not missing, f"vocab map: expected the ids that end a turn; it lacks {missing}", remedy=REPAIR)
    ends = np.unique(np.asarray(end_token_ids, dtype=np.int64))
    others = sized.target_ids[~np.isin(sized.target_ids, ends)]
    rest = np.setdiff1d(np.arange(vocab_size), sized.target_ids)
    return np.concatenate([ends, others, rest]).astype(np.int64)
