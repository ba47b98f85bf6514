"""IndexMap: which target token each row of a trimmed drafter's LM head stands for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.runtime.base.arrays import Ids, Logits
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
        require(bool(np.all(np.diff(ids) > 0)), "index map: ids must strictly increase", got="a repeat or a step down")
        require(
            int(ids[0]) >= 0 and int(ids[-1]) < self.target_vocab_size,
            f"index map: ids must lie in 0..{self.target_vocab_size - 1}",
            got=f"{ids[0]}..{ids[-1]}",
        )

    @classmethod
    def identity(cls, vocab_size: int) -> "IndexMap":
        """The map of a drafter that keeps every token."""
        return cls(target_ids=np.arange(vocab_size, dtype=np.int64), target_vocab_size=vocab_size)

    @property
    def draft_vocab_size(self) -> int:
        """K, the number of tokens the drafter can propose."""
        return len(self.target_ids)

    def to_target(self, draft_id: int) -> int:
        """The target token id behind one draft id."""
        return int(self.target_ids[draft_id])

    def to_draft(self, token_ids: Sequence[int]) -> Ids:
        """Draft ids of those of the ascending target ``token_ids`` that can be drafted."""
        wanted = np.asarray(token_ids, dtype=np.int64)
        places = np.searchsorted(self.target_ids, wanted)
        inside = places < len(self.target_ids)
        candidates: Ids = places[inside]
        found: Ids = candidates[self.target_ids[candidates] == wanted[inside]]
        return found

    def scatter(self, logits: Logits) -> Logits:
        """Logits (rows, K) spread over the target's vocabulary, -inf for every token the drafter lacks."""
        full = np.full((*logits.shape[:-1], self.target_vocab_size), -np.inf, dtype=logits.dtype)
        full[..., self.target_ids] = logits
        return full

    def holds(self, token_ids: Iterable[int]) -> bool:
        """Whether every one of ``token_ids`` can be drafted."""
        return bool(np.isin(list(token_ids), self.target_ids).all())
