"""Split texts into words, and look up the tokens of words, for byte-level tokenizers.

Such a tokenizer cuts its own tokens (``<|im_end|>``) out of a text, splits the rest into words, and turns every word
into tokens on its own. So a text's tokens follow from its words.
"""

import random
import re
import unicodedata
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain

from edgedraft.calibration.text.word_pattern import WordPattern, state_of, word_pattern
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
        self._codec, self._pattern = codec, pattern
        self._tokens: dict[str, list[int]] = {}
        self._letters = _byte_alphabet()
        self._characters = 0

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
                found = self._pattern.words(self._normalized(section))
                if found is None:
                    return None
                words += found
        return words, False

    def tokens(self, words: Collection[Word]) -> list[list[int]]:
        """Return the token ids of every word."""
        if self._characters >= _MOST_CHARACTERS:
            self._tokens.clear()
            self._characters = 0
        self._learn([word for word in words if isinstance(word, str) and word not in self._tokens])
        return [[word] if isinstance(word, int) else self._tokens[word] for word in words]

    def _learn(self, words: Sequence[str]) -> None:
        """Encode all of ``words`` at once, on all cores."""
        letters = [word.encode().decode("latin-1").translate(self._letters) for word in words]
        ids, lengths = (array.tolist() for array in self._codec.encode_pieces(letters))
        start = 0
        for word, length in zip(words, lengths, strict=True):
            self._tokens[word] = ids[start : start + length]
            start += length
            self._characters += len(word)

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
        if split is not None and list(chain.from_iterable(words.tokens(split[0]))) != ids:
            return False
    return True


def _byte_alphabet() -> dict[int, str]:
    """Return the letter that stands for each byte in byte-level vocabularies; source: GPT-2's encoder."""
    shown = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}
