"""The words of a byte-level tokenizer that came so far, and the tokens of each."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.text.encoding import add_ids
from edgedraft.calibration.text.word_patterns import WordPattern
from edgedraft.runtime.base.arrays import Int32Array, Int64Array
from edgedraft.runtime.text.codec import TextCodec

_MOST_WORDS = 2**18
_MOST_CHARACTERS = 2**23


class _UncertainError(Exception):
    """A word came that may not be one for the tokenizer."""


class WordTable(dict[str, int]):
    """The place of every word in the order in which they came; what tokens a word has is asked for later, of many."""

    def __init__(self, codec: TextCodec, pattern: WordPattern) -> None:
        super().__init__()
        self._pattern = pattern
        self._to_bytes = _byte_alphabet()
        self._codec = codec
        self._new: list[str] = []
        self._ids, self._lengths = np.zeros((2, 0), dtype=np.int64)
        self._characters = 0

    def __missing__(self, word: str) -> int:
        if not self._pattern.is_certain(word):
            raise _UncertainError
        self._new.append(word)
        self._characters += len(word)
        self[word] = len(self)
        return self[word]

    @property
    def is_full(self) -> bool:
        """Whether the table holds so much that it should be given up for a new one."""
        return len(self) >= _MOST_WORDS or self._characters >= _MOST_CHARACTERS

    def places(self, words: Sequence[str]) -> Int32Array | None:
        """The places of a text's words, new ones added behind the last; None where one of them is not certain."""
        try:
            return np.fromiter(map(self.__getitem__, words), np.int32, len(words))
        except _UncertainError:
            return None

    def tokens_at(self, places: Int32Array | npt.NDArray[np.intp]) -> Int64Array:
        """Token ids of the words at ``places``, in their order, int64 (tokens,)."""
        self._learn()
        lengths = self._lengths[places]
        starts = (np.cumsum(self._lengths) - self._lengths)[places]
        before = np.cumsum(lengths) - lengths
        tokens: Int64Array = self._ids[np.repeat(starts - before, lengths) + np.arange(lengths.sum())]
        return tokens

    def add_tokens(self, by_group: Int64Array, places: Mapping[int, Sequence[Int32Array]]) -> None:
        """Add the tokens of the words at the ``places`` of every group to int64 (groups, vocab)."""
        self._learn()
        for group, found in places.items():
            if found:
                times = np.bincount(np.concatenate(found))
                came = np.flatnonzero(times)
                add_ids(by_group[group], self.tokens_at(came), np.repeat(times[came], self._lengths[came]))

    def _learn(self) -> None:
        """Turn the words that are new into tokens, on all cores."""
        if not self._new:
            return
        ids, lengths = self._codec.encode_pieces([self._letters(word) for word in self._new])
        self._ids, self._lengths = np.concatenate([self._ids, ids]), np.concatenate([self._lengths, lengths])
        self._new.clear()

    def _letters(self, word: str) -> str:
        return word.encode().decode("latin-1").translate(self._to_bytes)


def _byte_alphabet() -> dict[int, str]:
    """The letter that stands for each byte in byte-level vocabularies; source: GPT-2's encoder."""
    shown = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}
