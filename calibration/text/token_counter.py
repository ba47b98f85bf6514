"""Count the tokens of many texts, by group.

Every distinct word is turned into tokens once, where the tokenizer works by words (`words_of`). Other tokenizers, and
texts whose words are not certain, are counted by encoding the whole text.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edgedraft.calibration.text.words import Words, renewed_words
from edgedraft.runtime.base.arrays import Int32Array, Int64Array
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.codec import TextCodec

_BATCH_CHARACTERS = 2**20
_FULL_CHARACTERS = 2**25
_HEADS = ("\n", "x ", "end.\n\n", ": ", ")", "7")


class Piece(NamedTuple):
    """A text whose tokens count. With ``ends`` they end with the first end token, whatever stands behind it.

    ``before`` is the text that it continues, None where it is tokenized apart.
    """

    text: str
    ends: bool
    before: str | None = None


class TokenCounter:
    """Counts tokens by group until `flush` adds them to an array.

    ``words`` are those of the codec, None to encode every text. ``unended`` counts the texts that should hold an end
    token and hold none, among those that were flushed.
    """

    def __init__(self, codec: TextCodec, end_token_ids: Sequence[int], words: Words | None) -> None:
        known = words is not None and set(end_token_ids) <= set(words.own_ids.values())
        self._codec, self._ends, self._words = codec, frozenset(end_token_ids), words if known else None
        self._places: defaultdict[int, list[Int32Array]] = defaultdict(list)
        self._ids: defaultdict[int, list[Int64Array]] = defaultdict(list)
        self._waiting: list[tuple[int, Piece]] = []
        self._characters = self._waiting_characters = 0
        self.unended = 0

    @property
    def is_full(self) -> bool:
        """Tell whether `flush` should be called, to bound the memory."""
        return self._characters >= _FULL_CHARACTERS or (self._words is not None and self._words.is_full)

    def add(self, group: int, pieces: Sequence[Piece]) -> None:
        """Count all of ``pieces``, or raise `EdgedraftError` and count none."""
        for ids in self._continuing([piece for piece in pieces if piece.before is not None]):
            self._add_ids(group, ids, ends=True)
        for piece in pieces:
            self._characters += len(piece.text)
            if piece.before is None and not self._add_words(group, piece):
                self._waiting.append((group, piece))
                self._waiting_characters += len(piece.text)
        if self._waiting_characters >= _BATCH_CHARACTERS:
            self._encode()

    def flush(self, by_group: Int64Array) -> None:
        """Add what was not added yet to ``by_group``, int64 (groups, vocab)."""
        self._encode()
        for group, ids in self._ids.items():
            add_ids(by_group[group], np.concatenate(ids))
        for group, places in self._places.items():
            self._add_places(by_group[group], np.concatenate(places))
        self._ids.clear()
        self._places.clear()
        self._characters = 0
        if self._words is not None and self._words.is_full:
            self._words = renewed_words(self._codec)

    def _add_places(self, row: Int64Array, places: Int32Array) -> None:
        assert self._words is not None, "only words have places"
        times = np.bincount(places)
        came = np.flatnonzero(times)
        ids, lengths = self._words.tokens(came)
        # A word that came so many times brings each of its tokens so many times.
        add_ids(row, ids, np.repeat(times[came], lengths))

    def _add_words(self, group: int, piece: Piece) -> bool:
        """Count a text by its words; False where they are not certain."""
        split = self._words.split(piece.text, self._ends if piece.ends else ()) if self._words else None
        if self._words is None or split is None:
            return False
        words, ended = split
        self._places[group].append(self._words.places(words))
        self.unended += piece.ends and not ended
        return True

    def _encode(self) -> None:
        """Encode the waiting texts together, on all cores."""
        encoded = self._codec.encode_batch([piece.text for _, piece in self._waiting])
        for (group, piece), ids in zip(self._waiting, encoded, strict=True):
            self._add_ids(group, ids, ends=piece.ends)
        self._waiting.clear()
        self._waiting_characters = 0

    def _add_ids(self, group: int, ids: list[int], *, ends: bool) -> None:
        if ends:
            end = next((place for place, token_id in enumerate(ids) if token_id in self._ends), None)
            self.unended += end is None
            ids = ids if end is None else ids[: end + 1]
        self._ids[group].append(np.asarray(ids, dtype=np.int64))

    def _continuing(self, pieces: Sequence[Piece]) -> list[list[int]]:
        """Return the ids of texts that are encoded together with what they continue."""
        encoded = self._codec.encode_with_bounds([f"{piece.before}{piece.text}" for piece in pieces]) if pieces else []
        return [_ids_from(*each, len(piece.before or "")) for each, piece in zip(encoded, pieces, strict=True)]


def _ids_from(token_ids: list[int], bounds: list[tuple[int, int]], start: int) -> list[int]:
    """Return the ids whose characters begin at ``start`` or behind it; raise where a token reaches over it."""
    place = next((place for place, (begin, _) in enumerate(bounds) if begin >= start), len(bounds))
    if place and bounds[place - 1][1] > start:
        raise EdgedraftError("a token reaches from the prompt into the answer")
    return token_ids[place:]


def add_ids(row: Int64Array, ids: Int64Array, times: Int64Array | int = 1) -> None:
    """Add ``times`` at every id of ``row``, int64 (vocab,); raise `EdgedraftError` at an id outside the vocabulary."""
    for outside in ids[(ids < 0) | (ids >= len(row))]:
        raise EdgedraftError(f"counts: token ids must lie in 0..{len(row) - 1}", got=outside)
    np.add.at(row, ids, times)


def starts_specially(codec: TextCodec) -> bool:
    """Tell whether the tokenizer treats the start of a text unlike its middle (SentencePiece puts a space before it).

    Then a text that is tokenized apart differs from what a model generates behind a prompt, wherever one cuts.
    """
    word = "word"
    alone = codec.encode(word)
    return all(codec.encode(head + word) != [*codec.encode(head), *alone] for head in _HEADS)
