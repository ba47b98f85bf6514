"""The product of a drafter's hidden state with rows of its full head, for tokens that its trimmed head lacks."""

from dataclasses import dataclass

import numpy as np

from edgedraft.runtime.base.arrays import Float32Array, Ids, Logits
from edgedraft.runtime.bundle.head_rows_file import HeadRows
from edgedraft.runtime.core.conversation import ConversationRows, ConversationTokens
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.onnx.features import features_of


class HeadRowProduct:
    """Scores chosen tokens by their rows, which stay unpacked in memory as long as they are chosen.

    It implements `edgedraft.runtime.core.conversation.RowProduct`.
    """

    def __init__(self, head: HeadRows, limit: int) -> None:
        self._head = head
        self._rows = np.empty((limit, head.entry.width), dtype=np.float32)
        self._places: dict[int, int] = {}
        self._chosen: Ids = np.zeros(0, dtype=np.int64)

    def choose(self, token_ids: Ids) -> None:
        """Score these tokens from now on; rows of tokens that are no longer chosen make place for new ones."""
        wanted = token_ids.tolist()
        kept = {token: self._places[token] for token in wanted if token in self._places}
        free = iter(sorted(set(range(len(wanted))) - set(kept.values())))
        # Rows beyond the number wanted move to the front, so that the product reads no unused ones between them.
        for token, place in kept.items():
            if place >= len(wanted):
                kept[token] = next(free)
                self._rows[kept[token]] = self._rows[place]
        new = [token for token in wanted if token not in kept]
        places = [next(free) for _ in new]
        if new:
            self._rows[places] = self._head.read(np.array(new, dtype=np.int64))
        self._places = {**kept, **dict(zip(new, places, strict=True))}
        self._chosen = np.array([self._places[token] for token in wanted], dtype=np.int64)

    def logits(self, drafter_pass: Pass, row: int) -> Logits:
        """Return the logits (tokens,) of the chosen tokens after the given row of a pass."""
        state = rounded(features_of(drafter_pass)[row], self._head.entry.input_bits, self._head.entry.block_size)
        scores: Logits = (self._rows[: len(self._chosen)] @ state)[self._chosen]
        return scores


def rounded(state: Float32Array, bits: int, block_size: int) -> Float32Array:
    """Return a hidden state (width,) as the head's product reads it: at 8 bits, each block has a scale of its own."""
    if bits != 8:
        return state
    padded = np.zeros(-(-len(state) // block_size) * block_size, dtype=np.float32)
    padded[: len(state)] = state
    blocks = padded.reshape(-1, block_size)
    scales = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    steps = np.divide(blocks, scales, out=np.zeros_like(blocks), where=scales > 0)
    result: Float32Array = (np.rint(steps) * scales).reshape(-1)[: len(state)]
    return result


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ConversationHead:
    """A full head of which each text may use ``limit`` rows beside the list that the trimmed head scores."""

    head: HeadRows
    listed: IndexMap
    limit: int

    def new_rows(self) -> ConversationRows:
        """Return the rows of a new text."""
        tokens = ConversationTokens(self.listed, self.head.entry.rows, self.limit)
        return ConversationRows(self.listed, tokens, HeadRowProduct(self.head, self.limit))
