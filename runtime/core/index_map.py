"""IndexMap: the target token of each row of a trimmed drafter's LM head."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.records import require


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class IndexMap:
    """``target_ids[draft_id]`` is the target token that row ``draft_id`` of the drafter's head scores.

    ``target_ids``: int64 (draft_vocab_size,), strictly increasing, within 0..target_vocab_size-1.
    """

    target_ids: Ids
    target_vocab_size: int

    def __post_init__(self) -> None:
        ids = self.target_ids
        require(ids.ndim == 1 and ids.dtype == np.int64, "index map: expected one row of int64", got=ids.dtype)
        require(
            1 <= len(ids) <= self.target_vocab_size,
            f"index map: expected 1..{self.target_vocab_size} ids",
            got=len(ids),
        )
        # Neighbours are compared: a difference of two int64 may wrap, and a step down then looks like one up.
        rising = bool(np.all(ids[1:] > ids[:-1]))
        require(rising, "index map: ids must strictly increase", got="a repeat or a step down")
        require(
            int(ids[0]) >= 0 and int(ids[-1]) < self.target_vocab_size,
            f"index map: ids must lie in 0..{self.target_vocab_size - 1}",
            got=f"{ids[0]}..{ids[-1]}",
        )

    @classmethod
    def identity(cls, vocab_size: int) -> "IndexMap":
        """Return the map of a drafter that keeps every token."""
        return cls(target_ids=np.arange(vocab_size, dtype=np.int64), target_vocab_size=vocab_size)

    @property
    def draft_vocab_size(self) -> int:
        """Return K, the number of tokens the drafter can propose."""
        return len(self.target_ids)

    def to_target(self, draft_id: int) -> int:
        """Return the target token id behind one draft id."""
        return int(self.target_ids[draft_id])

    def to_draft(self, token_ids: Sequence[int]) -> Ids:
        """Return the draft ids of those of the ascending target ``token_ids`` that can be drafted."""
        asked = np.asarray(token_ids, dtype=np.int64)
        places = np.searchsorted(self.target_ids, asked)
        inside = places < len(self.target_ids)
        candidates: Ids = places[inside]
        draft_ids: Ids = candidates[self.target_ids[candidates] == asked[inside]]
        return draft_ids

    def holds(self, token_ids: Iterable[int]) -> bool:
        """Return whether every one of ``token_ids`` can be drafted."""
        return bool(np.isin(list(token_ids), self.target_ids).all())
