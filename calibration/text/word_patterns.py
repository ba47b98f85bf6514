"""Splitting text into the words of a byte-level tokenizer with Python's regular expressions, to the character.

Tokenizers split with Oniguruma, whose character classes follow its own Unicode tables. So that library itself is asked
what ``\\p{L}``, ``\\p{N}`` or ``\\s`` hold, and Python's is told: for ASCII, whose small sets are quick, and for the
first 65,536 characters. Text is refused, and left to the tokenizer, where it holds a character beyond them that is in
one of the classes, one that the case of letters may turn into an ASCII one, or one that Unicode assigned later.
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any

from edgedraft.runtime.text.codec import TextCodec, matching_parts

_ASCII = "".join(map(chr, range(0x80)))
_WIDE = "".join(chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000)
_NOTHING = "\ud800"  # half of a character, which no text holds
_BEYOND_ASCII = re.compile("[^\x00-\x7f]+")
_PIECE = re.compile(
    r"(?P<cls>\\p\{\w+\}|\\[sS])|(?P<escape>\\[rnt]|\\[^\w])|(?P<group>\(\?(?:i:|:|!))|(?P<open>\[\^?)|(?P<close>\])"
    r"|(?P<times>(?:[?*+]|\{\d+(?:,\d*)?\})(?![?*+{]))|(?P<plain>(?=[\x00-\x7f])[^\\()\[\]?*+{}.^$&-])|(?P<end>[|)])",
    re.ASCII,
)
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False}
# What ByteLevel splits by where it is not told otherwise; source: GPT-2's encoder.
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


class WordPattern:
    """The words of one pattern. Raises `ValueError` where the pattern holds more than is known to be the same here."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._classes: set[str] = set()
        self._in_ascii = re.compile(self._translated(_ASCII), re.ASCII).findall
        self._certain = _Certain(self)

    def words(self, text: str) -> list[str] | None:
        """The words of ``text``, right if `is_certain` says so of them all; None where they leave something out."""
        words: list[str] = self._in_ascii(text) if text.isascii() else self._in_wide(text)
        return words if len("".join(words)) == len(text) else None

    def is_certain(self, word: str) -> bool:
        """Whether all characters of ``word`` are sure to be treated here as by the tokenizer."""
        return word.isascii() or all(map(self._certain.__getitem__, "".join(_BEYOND_ASCII.findall(word))))

    @cached_property
    def _in_wide(self) -> Any:
        return re.compile(self._translated(_WIDE), re.ASCII).findall

    def takes_as_oniguruma(self, character: str) -> bool:
        """Whether a character beyond ASCII is sure to be treated here as there."""
        if unicodedata.category(character) == "Cn":
            return False
        folded = character.casefold()
        if "(?i:" in self._pattern and re.search("[a-z]", folded) and folded in self._pattern.lower():
            return False
        return character <= _WIDE[-1] or not any(matching_parts(name, character) for name in self._classes)

    def _translated(self, among: str) -> str:
        """The pattern with its classes spelled out, as far as they lie in ``among``."""
        pieces, place, inside = [], 0, False
        while place < len(self._pattern):
            piece = _PIECE.match(self._pattern, place)
            if piece is None or (inside and piece.lastgroup in ("open", "group", "times", "end")):
                raise ValueError(f"unknown syntax at {place} of {self._pattern}")
            inside = piece.lastgroup == "open" or (inside and piece.lastgroup != "close")
            pieces.append(self._class(piece[0], inside, among) if piece.lastgroup == "cls" else piece[0])
            place = piece.end()
        return "".join(pieces)

    def _class(self, name: str, inside: bool, among: str) -> str:
        if name == r"\S":
            if inside:
                raise ValueError(f"{name} in a set of {self._pattern}")
            return f"[^{self._class(chr(92) + 's', True, among)}]"
        self._classes.add(name)
        members = _members(name, among)
        return members if inside else f"[{members}]"


@lru_cache(maxsize=64)
def _members(name: str, among: str) -> str:
    """The members of a class that lie in ``among``, for a set."""
    return _spelled(matching_parts(name, among))


def _spelled(characters: Iterable[str]) -> str:
    """Characters as ranges of a set; something that no text holds where there are none."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in ranges) or _NOTHING


class _Certain(dict[str, bool]):
    """`WordPattern.takes_as_oniguruma` of every character that came so far."""

    def __init__(self, pattern: WordPattern) -> None:
        super().__init__()
        self._of = pattern.takes_as_oniguruma

    def __missing__(self, character: str) -> bool:
        self[character] = self._of(character)
        return self[character]


def word_pattern(codec: TextCodec) -> WordPattern | None:
    """How the codec's tokenizer splits text before it looks for tokens; None where that is not one known pattern."""
    try:
        form = _part(codec.tokenizer.pre_tokenizer)
        pattern = _pattern_of(form)
        return None if pattern is None else WordPattern(pattern)
    except (ValueError, re.error):
        return None


def normalizes_only_by_nfc(codec: TextCodec) -> bool:
    """Whether text is brought to NFC and not changed otherwise, or not at all; ASCII then stays as it is."""
    return _part(codec.tokenizer.normalizer) in (None, {"type": "NFC"})


def _part(component: Any) -> Any:
    return None if component is None else json.loads(component.__getstate__())


def _pattern_of(form: Any) -> str | None:
    if not isinstance(form, dict):
        return None
    if _holds(form, _BYTE_LEVEL | {"use_regex": True}):
        return _GPT2
    parts = form.get("pretokenizers", [])
    if len(parts) != 2 or not _holds(parts[1], _BYTE_LEVEL | {"use_regex": False}):
        return None
    plain = _holds(parts[0], {"type": "Split", "behavior": "Isolated", "invert": False})
    found = parts[0].get("pattern", {}).get("Regex") if plain else None
    return found if isinstance(found, str) else None


def _holds(form: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(form.get(key) == value for key, value in wanted.items())
