"""Counting the tokens of texts by their words, which byte-level tokenizers turn into tokens one by one.

So words are counted, and every different word is turned into tokens once. Where a tokenizer is not known to work like
that, or probes show a difference, `EncodingCounter` counts.
"""

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.text.encoding import (
    WAITING_CHARACTERS,
    Counts,
    EncodingCounter,
    Piece,
    TokenCounter,
    add_ids,
)
from edgedraft.calibration.text.word_patterns import WordPattern, normalizes_only_by_nfc, word_pattern
from edgedraft.runtime.text import TextCodec

_MOST_WORDS = 2**18
_MOST_CHARACTERS = 2**23
_PROBES = 300
_PROBE_TEXTS = (
    *("word", " Word", "'ll", "'S", " don't", "12345", " 7", "x_y", "()", "{};\n", "\n", "\n\n  ", "\t", "   ", "\r\n"),
    *("é", "e\u0301", "ß", "ſ", "\u212a", "中文", "한국어", "नमस्ते", "ع", "😀", "👍🏽", "½", "Ⅷ", "٣", "—", "’"),
    *("\u00a0", "\u2028", "\u3000", "\u200b", "\ufeff", "\0", "\x1c", "\x85", "＞", "≯", ">\u0338", "Å", "İ", "ǅ"),
    "\U00020000",
)

Places = npt.NDArray[np.int32]


class WordCounter:
    """Counts words; ``markers`` are the tokenizer's own tokens such as ``<|im_end|>``, cut out before words are."""

    def __init__(self, codec: TextCodec, end_token_ids: Sequence[int], pattern: WordPattern) -> None:
        self._codec = codec
        self._pattern = pattern
        self._rest = EncodingCounter(codec, end_token_ids)
        added = codec.tokenizer.get_added_tokens_decoder()
        self._ids = {token.content: token_id for token_id, token in added.items()}
        self._raw = _any_of(token.content for token in added.values() if not token.normalized)
        later = [token.content for token in added.values() if token.normalized]
        self._normalized = _any_of(later) if later else None
        self._ends = {token.content for token_id, token in added.items() if token_id in end_token_ids}
        self._normalizer = codec.tokenizer.normalizer
        self._table = _WordTable(codec, pattern)
        self._places: dict[int, list[Places]] = {}
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
            found = self._split(piece)
            if found is None:
                self._rest.add(group, [piece])
                continue
            places, markers, ended = found
            self._places.setdefault(group, []).extend(places)
            self._markers.update((group, self._ids[marker]) for marker in markers)
            self._unended += piece.ends and not ended
            self._characters += len(piece.text)

    def flush(self, by_group: Counts) -> None:
        """See `TokenCounter`."""
        self._rest.flush(by_group)
        self._table.add_tokens(by_group, self._places)
        self._places.clear()
        if self._table.is_full:
            self._table = _WordTable(self._codec, self._pattern)
        for (group, token_id), times in self._markers.items():
            add_ids(by_group[group], np.asarray([token_id], dtype=np.int64), times)
        self._markers.clear()
        self._characters = 0

    @property
    def is_full(self) -> bool:
        """See `TokenCounter`."""
        return self._rest.is_full or self._characters >= WAITING_CHARACTERS or self._table.is_full

    def _split(self, piece: Piece) -> tuple[list[Places], list[str], bool] | None:
        """Places of words, markers, and whether an end was met; None where the words cannot be told for certain."""
        places: list[Places] = []
        markers: list[str] = []
        for text, is_marker in self._sections(piece.text):
            if is_marker:
                markers.append(text)
                if piece.ends and text in self._ends:
                    return places, markers, True
                continue
            words = self._pattern.words(text)
            found = None if words is None else self._table.places(words)
            if found is None:
                return None
            places.append(found)
        return places, markers, False

    def _sections(self, text: str) -> Iterable[tuple[str, bool]]:
        """The parts of ``text`` in order, and which of them are markers."""
        for place, part in enumerate(self._raw.split(text)):
            if place % 2:
                yield part, True
            elif part:
                normalized = part if part.isascii() else self._normalize(part)
                if self._normalized is None:
                    yield normalized, False
                    continue
                for inner, section in enumerate(self._normalized.split(normalized)):
                    if section:
                        yield section, bool(inner % 2)

    def _normalize(self, text: str) -> str:
        if self._normalizer is None or unicodedata.is_normalized("NFC", text):
            return text
        return str(self._normalizer.normalize_str(text))


class _UncertainError(Exception):
    """A word came that may not be one for the tokenizer."""


class _WordTable(dict[str, int]):
    """The place of every word in the order in which they came, and the tokens of the word at each place."""

    def __init__(self, codec: TextCodec, pattern: WordPattern) -> None:
        super().__init__()
        self._codec = codec
        self._pattern = pattern
        self._to_bytes = _byte_alphabet()
        self._ids: list[int] = []
        self._lengths: list[int] = []
        self._characters = 0

    def __missing__(self, word: str) -> int:
        if not self._pattern.is_certain(word):
            raise _UncertainError
        ids = self._tokens(word)
        self._ids += ids
        self._lengths.append(len(ids))
        self._characters += len(word)
        self[word] = len(self)
        return self[word]

    @property
    def is_full(self) -> bool:
        """Whether the table holds so much that it should be given up for a new one."""
        return len(self) >= _MOST_WORDS or self._characters >= _MOST_CHARACTERS

    def places(self, words: Sequence[str]) -> Places | None:
        """The places of a text's words, new ones added behind the last; None where one of them is not certain."""
        try:
            return np.fromiter(map(self.__getitem__, words), np.int32, len(words))
        except _UncertainError:
            return None

    def tokens_at(self, places: Places) -> list[int]:
        """Token ids of the words at ``places``, in their order."""
        starts = np.cumsum([0, *self._lengths])
        return [token_id for place in places for token_id in self._ids[starts[place] : starts[place + 1]]]

    def _tokens(self, word: str) -> list[int]:
        letters = word.encode().decode("latin-1").translate(self._to_bytes)
        return [token.id for token in self._codec.tokenizer.model.tokenize(letters)]

    def add_tokens(self, by_group: Counts, places: Mapping[int, Sequence[Places]]) -> None:
        """Add the tokens of the words at the ``places`` of every group to int64 (groups, vocab)."""
        ids, lengths = np.asarray(self._ids, dtype=np.int64), np.asarray(self._lengths, dtype=np.int64)
        for group, found in places.items():
            if found:
                times = np.repeat(np.bincount(np.concatenate(found), minlength=len(self)), lengths)
                came = np.flatnonzero(times)
                add_ids(by_group[group], ids[came], times[came])


def counter_for(codec: TextCodec, end_token_ids: Sequence[int]) -> TokenCounter:
    """The fastest counter that is right for this tokenizer."""
    counter = _word_counter(codec, end_token_ids)
    if counter is not None and all(_agrees(counter, codec, text) for text in _probes(counter)):
        return counter
    return EncodingCounter(codec, end_token_ids)


def _word_counter(codec: TextCodec, end_token_ids: Sequence[int]) -> WordCounter | None:
    pattern = word_pattern(codec) if normalizes_only_by_nfc(codec) else None
    if pattern is None or getattr(codec.tokenizer.model, "dropout", None):
        return None
    added = codec.tokenizer.get_added_tokens_decoder()
    plain = all(not (token.single_word or token.lstrip or token.rstrip) for token in added.values())
    unchanged = all(token.content.isascii() for token in added.values() if token.normalized)
    known = plain and unchanged and set(end_token_ids) <= set(added)
    return WordCounter(codec, end_token_ids, pattern) if known else None


def _agrees(counter: WordCounter, codec: TextCodec, text: str) -> bool:
    """Whether the words of ``text`` have the tokens of ``text``."""
    found = counter._split(Piece(text, ends=False))
    if found is None:
        return True
    places, markers, _ = found
    ids = [token_id for some in places for token_id in counter._table.tokens_at(some)]
    return sorted([*ids, *(counter._ids[marker] for marker in markers)]) == sorted(codec.encode(text))


def _probes(counter: WordCounter) -> list[str]:
    """Texts made of all that tokenizers treat differently, the same ones every time."""
    chance = random.Random(7)
    parts = [*_PROBE_TEXTS, *sorted(counter._ids)[:64]]
    return ["".join(chance.choices(parts, k=chance.randint(1, 12))) for _ in range(_PROBES)]


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Any of ``texts``, the longest first, as one group; where there are none, what never matches."""
    ordered = sorted(filter(None, texts), key=lambda text: (-len(text), text))
    return re.compile(f"({'|'.join(map(re.escape, ordered)) or '(?!)'})")


def _byte_alphabet() -> dict[int, str]:
    """The letter that stands for each byte in byte-level vocabularies; source: GPT-2's encoder."""
    shown = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}
