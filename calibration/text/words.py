"""Counting the tokens of texts by their words, which byte-level tokenizers turn into tokens one by one.

So words are counted, and every different word is turned into tokens once. Where a tokenizer is not known to work like
that, or probes show a difference, `EncodingCounter` counts.
"""

import random
from collections import Counter
from collections.abc import Container, Sequence
from typing import NamedTuple

import numpy as np

from edgedraft.calibration.text.encoding import EncodingCounter, Piece, TokenCounter, add_ids
from edgedraft.calibration.text.markers import Markers, cuts_plainly
from edgedraft.calibration.text.word_patterns import WordPattern, normalizes_only_by_nfc, word_pattern
from edgedraft.calibration.text.word_table import WordTable
from edgedraft.runtime.base.arrays import Int32Array, Int64Array
from edgedraft.runtime.text.codec import TextCodec

_WAITING_CHARACTERS = 2**25
_PROBES = 300
_PROBE_TEXTS = (
    *("word", " Word", "'ll", "'S", " don't", "12345", " 7", "x_y", "()", "{};\n", "\n", "\n\n  ", "\t", "   ", "\r\n"),
    *("é", "e\u0301", "ß", "ſ", "\u212a", "中文", "한국어", "नमस्ते", "ع", "😀", "👍🏽", "½", "Ⅷ", "٣", "—", "’"),
    *("\u00a0", "\u2028", "\u3000", "\u200b", "\ufeff", "\0", "\x1c", "\x85", "＞", "≯", ">\u0338", "Å", "İ", "ǅ"),
    "\U00020000",
)


class TokenCounters:
    """Counters for one tokenizer, each the fastest that is right for it.

    They share the words they have met, so one that comes later is quicker; all belong to one thread.
    """

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._words = known_words(codec)

    def counter(self, end_token_ids: Sequence[int]) -> TokenCounter:
        """A counter of texts that the first of ``end_token_ids`` ends."""
        by_encoding = EncodingCounter(self._codec, end_token_ids)
        known = self._words is not None and set(end_token_ids) <= set(self._words.markers.ids.values())
        return WordCounter(self._words, end_token_ids, by_encoding) if self._words and known else by_encoding


class _Split(NamedTuple):
    """A text's words by their places, its markers, and whether an end was met."""

    places: list[Int32Array]
    markers: list[str]
    ended: bool


class Words:
    """How a tokenizer splits text into words, and those that came so far."""

    def __init__(self, codec: TextCodec, pattern: WordPattern) -> None:
        self._codec = codec
        self._pattern = pattern
        self._table = WordTable(codec, pattern)
        self.markers = Markers(codec)

    @property
    def table(self) -> WordTable:
        """The table for what is counted next; a new one where the last is full."""
        if self._table.is_full:
            self._table = WordTable(self._codec, self._pattern)
        return self._table

    def split(self, text: str, table: WordTable, ends: Container[str] = ()) -> _Split | None:
        """The words, up to the first of ``ends``; None where they cannot be told for certain."""
        places: list[Int32Array] = []
        markers: list[str] = []
        for section, is_marker in self.markers.sections(text):
            if is_marker:
                markers.append(section)
                if section in ends:
                    return _Split(places, markers, True)
                continue
            words = self._pattern.words(section)
            found = None if words is None else table.places(words)
            if found is None:
                return None
            places.append(found)
        return _Split(places, markers, False)


class WordCounter:
    """Counts words, and leaves texts whose words cannot be told to ``rest``."""

    def __init__(self, words: Words, end_token_ids: Sequence[int], rest: EncodingCounter) -> None:
        self._words = words
        self._ends = {text for text, token_id in words.markers.ids.items() if token_id in end_token_ids}
        self._rest = rest
        self._table = words.table
        self._places: dict[int, list[Int32Array]] = {}
        self._markers: Counter[tuple[int, int]] = Counter()
        self._characters = 0
        self._unended = 0

    @property
    def unended(self) -> int:
        """See `TokenCounter`."""
        return self._unended + self._rest.unended

    def add(self, group: int, pieces: Sequence[Piece]) -> None:
        """See `TokenCounter`."""
        for piece in pieces:
            found = self._words.split(piece.text, self._table, self._ends if piece.ends else ())
            if found is None:
                self._rest.add(group, [piece])
                continue
            self._places.setdefault(group, []).extend(found.places)
            self._markers.update((group, self._words.markers.ids[marker]) for marker in found.markers)
            self._unended += piece.ends and not found.ended
            self._characters += len(piece.text)

    def flush(self, by_group: Int64Array) -> None:
        """See `TokenCounter`."""
        self._rest.flush(by_group)
        self._table.add_tokens(by_group, self._places)
        self._places.clear()
        self._table = self._words.table
        for (group, token_id), times in self._markers.items():
            add_ids(by_group[group], np.asarray([token_id], dtype=np.int64), times)
        self._markers.clear()
        self._characters = 0

    @property
    def is_full(self) -> bool:
        """See `TokenCounter`."""
        return self._rest.is_full or self._characters >= _WAITING_CHARACTERS or self._table.is_full


def known_words(codec: TextCodec) -> Words | None:
    """The words of a codec's tokenizer; None where it is not known to work by words, or probes deny it."""
    pattern = word_pattern(codec) if normalizes_only_by_nfc(codec) and cuts_plainly(codec) else None
    if pattern is None or getattr(codec.tokenizer.model, "dropout", None):
        return None
    words = Words(codec, pattern)
    return words if all(_agrees(words, codec, text) for text in _probes(words)) else None


def _agrees(words: Words, codec: TextCodec, text: str) -> bool:
    """Whether the words of ``text`` have the tokens of ``text``."""
    table = words.table
    found = words.split(text, table)
    if found is None:
        return True
    ids = [token_id for some in found.places for token_id in table.tokens_at(some).tolist()]
    return sorted([*ids, *(words.markers.ids[marker] for marker in found.markers)]) == sorted(codec.encode(text))


def _probes(words: Words) -> list[str]:
    """Texts made of all that tokenizers treat differently, the same ones every time."""
    chance = random.Random(7)
    parts = [*_PROBE_TEXTS, *sorted(words.markers.ids)[:64]]
    return ["".join(chance.choices(parts, k=chance.randint(1, 12))) for _ in range(_PROBES)]
