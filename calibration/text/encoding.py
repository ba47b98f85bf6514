"""Counting the tokens of texts by encoding every one of them: what is right for every tokenizer."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from edgedraft.runtime.base.arrays import Int64Array
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.codec import TextCodec

_WAITING_CHARACTERS = 2**23

_BATCH_CHARACTERS = 2**20
_HEADS = ("\n", "x ", "end.\n\n", ": ", ")", "7")


class Piece(NamedTuple):
    """A text whose tokens count. With ``ends`` they end with the first end token, whatever stands behind it.

    ``before`` is the text that it continues, None where it is tokenized apart.
    """

    text: str
    ends: bool
    before: str | None = None


class TokenCounter(Protocol):
    """Counts tokens of texts by group, into an array that it is given now and then."""

    @property
    def unended(self) -> int:
        """Texts that should end with an end token and hold none, of those flushed so far."""

    @property
    def is_full(self) -> bool:
        """Whether enough waits that `flush` should be called, to bound the memory."""

    def add(self, group: int, pieces: Sequence[Piece]) -> None:
        """Count all of ``pieces``, or raise `EdgedraftError` and count none."""

    def flush(self, by_group: Int64Array) -> None:
        """Add what was not added yet to int64 (groups, vocab)."""


class EncodingCounter:
    """Encodes in batches, on all cores."""

    def __init__(self, codec: TextCodec, end_token_ids: Sequence[int]) -> None:
        self._codec = codec
        self._ends = np.asarray(end_token_ids, dtype=np.int64)
        self._waiting: list[tuple[int, Piece]] = []
        self._characters = self._encoded = 0
        self._ready: dict[int, list[Int64Array]] = {}
        self.unended = 0

    def add(self, group: int, pieces: Sequence[Piece]) -> None:
        """See `TokenCounter`. Texts that continue others are encoded at once, as this may fail."""
        apart = [piece for piece in pieces if piece.before is None]
        for ids in self._continued([piece for piece in pieces if piece.before is not None]):
            self._keep(group, ids, ends=True)
        self._encoded += sum(len(piece.text) for piece in pieces)
        self._waiting += [(group, piece) for piece in apart]
        self._characters += sum(len(piece.text) for piece in apart)
        if self._characters >= _BATCH_CHARACTERS:
            self._encode()

    def flush(self, by_group: Int64Array) -> None:
        """See `TokenCounter`."""
        self._encode()
        for group, found in self._ready.items():
            add_ids(by_group[group], np.concatenate(found))
        self._ready.clear()
        self._encoded = 0

    @property
    def is_full(self) -> bool:
        """See `TokenCounter`."""
        return self._encoded >= _WAITING_CHARACTERS

    def _encode(self) -> None:
        found = self._codec.encode_batch([piece.text for _, piece in self._waiting])
        for (group, piece), ids in zip(self._waiting, found, strict=True):
            self._keep(group, ids, ends=piece.ends)
        self._waiting.clear()
        self._characters = 0

    def _keep(self, group: int, token_ids: Sequence[int], *, ends: bool) -> None:
        ids = np.asarray(token_ids, dtype=np.int64)
        if ends:
            places = np.flatnonzero(np.isin(ids, self._ends))
            self.unended += not len(places)
            ids = ids[: places[0] + 1] if len(places) else ids
        self._ready.setdefault(group, []).append(ids)

    def _continued(self, pieces: Sequence[Piece]) -> list[list[int]]:
        """Ids of texts encoded together with what they continue, cut where they begin."""
        if not pieces:
            return []
        found = self._codec.encode_with_bounds([f"{piece.before}{piece.text}" for piece in pieces])
        return [_cut(*each, len(piece.before or "")) for each, piece in zip(found, pieces, strict=True)]


def _cut(token_ids: list[int], bounds: list[tuple[int, int]], start: int) -> list[int]:
    """The ids whose characters begin at ``start`` or behind it; raises where a token reaches over it."""
    place = next((place for place, (begin, _) in enumerate(bounds) if begin >= start), len(bounds))
    if place and bounds[place - 1][1] > start:
        raise EdgedraftError("a token reaches from the prompt into the answer")
    return token_ids[place:]


def add_ids(row: Int64Array, ids: Int64Array, times: Int64Array | int = 1) -> None:
    """Add ``times`` at every id of int64 (vocab,); raises at an id outside the vocabulary."""
    for outside in ids[(ids < 0) | (ids >= len(row))]:
        raise EdgedraftError(f"counts: token ids must lie in 0..{len(row) - 1}", got=outside)
    np.add.at(row, ids, times)


def starts_specially(codec: TextCodec) -> bool:
    """Whether the tokenizer treats the start of a text unlike its middle (SentencePiece puts a space before it).

    Then what is tokenized apart differs from what a model generates behind a prompt, wherever one cuts.
    """
    word = "word"
    alone = codec.encode(word)
    return all(codec.encode(head + word) != [*codec.encode(head), *alone] for head in _HEADS)
