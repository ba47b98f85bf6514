"""IndexMap: which target token each row of a trimmed drafter's LM head stands for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.records import require
from edgedraft.runtime.tensors import read_tensors, write_tensors

Ids = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]

TENSOR_NAME = "target_ids"


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


def write_index_map(path: Path, index_map: IndexMap) -> None:
    """Write the map as a safetensors file with one int64 tensor, ``target_ids``."""
    metadata = {"target_vocab_size": str(index_map.target_vocab_size), "convention": "absolute"}
    write_tensors(path, {TENSOR_NAME: index_map.target_ids}, metadata)


def read_index_map(path: Path, target_vocab_size: int) -> IndexMap:
    """Read and check a map; any fault is an `EdgedraftError` that names the file."""
    tensors, _ = read_tensors(path)
    require(TENSOR_NAME in tensors, f"{path}: no tensor {TENSOR_NAME}", got=", ".join(sorted(tensors)) or "none")
    try:
        return IndexMap(target_ids=tensors[TENSOR_NAME], target_vocab_size=target_vocab_size)
    except EdgedraftError as error:
        raise EdgedraftError(f"{path}: {error.rule}", got=error.got, remedy="export the bundle again") from error
