"""Split texts into words, and look up the tokens of words, for byte-level tokenizers.

Such a tokenizer cuts its own tokens (``<|im_end|>``) out of a text, splits the rest into words, and turns every word
into tokens on its own. So a text's tokens follow from its words.
"""

import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import islice

import numpy as np

from edgedraft.calibration.text.word_pattern import WordPattern, state_of, word_pattern
from edgedraft.runtime.base.arrays import Int32Array, Int64Array
from edgedraft.runtime.text.codec import TextCodec

Word = str | int
"""A word's text, or the token id of one of the tokenizer's own tokens."""

_MOST_CHARACTERS = 2**21  # of the words that are remembered, about 300,000 of usual length
_PROBES = 300
_PROBE_TEXTS = (
    *("word", " Word", "'ll", "'S", " don't", "12345", " 7", "x_y", "()", "{};\n", "\n", "\n\n  ", "\t", "   ", "\r\n"),
    *("é", "e\u0301", "ß", "ſ", "\u212a", "中文", "한국어", "नमस्ते", "ع", "😀", "👍🏽", "½", "Ⅷ", "٣", "—", "’"),
    *("\u00a0", "\u2028", "\u3000", "\u200b", "\ufeff", "\0", "\x1c", "\x85", "＞", "≯", ">\u0338", "Å", "İ", "ǅ"),
    "\U00020000",
)


class Words:
    """The words of one tokenizer, with the tokens of those that came so far.

    ``own_ids`` are the ids of the tokenizer's own tokens by their text.
    """

    def __init__(self, codec: TextCodec, pattern: WordPattern) -> None:
        added = codec.tokenizer.get_added_tokens_decoder()
        self.own_ids = {token.content: token_id for token_id, token in added.items()}
        # Tokenizers take the longest of their own tokens; Python takes the first alternative that fits.
        longest_first = sorted(filter(None, self.own_ids), key=lambda text: (-len(text), text))
        self._own = re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")
        self._codec, self._pattern, self._letters = codec, pattern, _byte_alphabet()
        # The tokenizer's own tokens come first, each with itself as its only token.
        self._ids = np.asarray([*added], dtype=np.int64)
        self._lengths = np.ones(len(added), dtype=np.int64)
        self._starts = np.arange(len(added))
        self._places: defaultdict[Word, int] = defaultdict(
            None, {token_id: place for place, token_id in enumerate(added)}
        )
        self._places.default_factory = self._places.__len__  # a new word's place is behind the last
        self._characters = 0

    @property
    def is_full(self) -> bool:
        """Tell whether so much is remembered that it should be forgotten."""
        return self._characters >= _MOST_CHARACTERS

    def split(self, text: str, end_token_ids: Collection[int] = ()) -> tuple[list[Word], bool] | None:
        """Return the words of ``text`` up to the first end, and whether there is one; None where they are not certain.

        The end is the last of the words.
        """
        words: list[Word] = []
        for place, section in enumerate(self._own.split(text)):
            if place % 2:  # the pattern is one group, so matches stand at odd places
                words.append(self.own_ids[section])
                if self.own_ids[section] in end_token_ids:
                    return words, True
            elif section:
                section_words = self._pattern.words(self._normalized(section))
                if section_words is None:
                    return None
                words += section_words
        return words, False

    def places(self, words: Sequence[Word]) -> Int32Array:
        """Return the place of every word in the order in which words came, int32 (words,)."""
        return np.fromiter(map(self._places.__getitem__, words), np.int32, len(words))

    def tokens(self, places: Int64Array | Int32Array) -> tuple[Int64Array, Int64Array]:
        """Return the token ids of the words at ``places``, one word behind the other, and how many each word has."""
        self._learn()
        lengths = self._lengths[places]
        # The j-th token of a word stands at the word's start + j; arange minus the tokens before the word is j.
        j = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self._ids[np.repeat(self._starts[places], lengths) + j], lengths

    def _learn(self) -> None:
        """Encode all words that are new at once, on all cores."""
        words = [str(word) for word in islice(self._places, len(self._lengths), None)]
        letters = [word.encode().decode("latin-1").translate(self._letters) for word in words]
        ids, lengths = self._codec.encode_pieces(letters)
        self._ids, self._lengths = np.concatenate([self._ids, ids]), np.concatenate([self._lengths, lengths])
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._characters += sum(map(len, words))

    def _normalized(self, text: str) -> str:
        normalizer = self._codec.tokenizer.normalizer
        if normalizer is None or text.isascii() or unicodedata.is_normalized("NFC", text):
            return text
        return str(normalizer.normalize_str(text))


@lru_cache(maxsize=2)
def words_of(codec: TextCodec) -> Words | None:
    """Return the words of a codec's tokenizer; None where it is not known to work by words, or probes deny it.

    All callers share the words that came so far, so a part of the data that is counted later is counted faster.
    """
    normalizer = state_of(codec.tokenizer.normalizer)
    has_dropout = bool(getattr(codec.tokenizer.model, "dropout", None))
    if normalizer not in (None, {"type": "NFC"}) or has_dropout or not _cuts_plainly(codec):
        return None
    pattern = word_pattern(codec)
    words = None if pattern is None else Words(codec, pattern)
    return words if words is not None and _agree(words, codec) else None


def renewed_words(codec: TextCodec) -> Words | None:
    """Return words that remember nothing yet, for this caller and all that come after it."""
    words_of.cache_clear()
    return words_of(codec)


def _cuts_plainly(codec: TextCodec) -> bool:
    """Tell whether the tokenizer cuts out its own tokens before anything else, and nothing around them."""
    added = codec.tokenizer.get_added_tokens_decoder().values()
    before_all = codec.tokenizer.normalizer is None or not any(token.normalized for token in added)
    at_once = len({token.normalized for token in added}) <= 1
    return before_all and at_once and not any(token.single_word or token.lstrip or token.rstrip for token in added)


def _agree(words: Words, codec: TextCodec) -> bool:
    """Tell whether the words of random texts, the same ones every time, have the tokens of these texts."""
    rng = random.Random(7)
    parts = [*_PROBE_TEXTS, *sorted(words.own_ids)[:64]]
    texts = ["".join(rng.choices(parts, k=rng.randint(1, 12))) for _ in range(_PROBES)]
    for text, ids in zip(texts, codec.encode_batch(texts), strict=True):
        split = words.split(text)
        if split is not None and words.tokens(words.places(split[0]))[0].tolist() != ids:
            return False
    return True


def _byte_alphabet() -> dict[int, str]:
    """Return the letter that stands for each byte in byte-level vocabularies; source: GPT-2's encoder."""
    shown = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}
