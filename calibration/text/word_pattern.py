r"""Split text into the words of a byte-level tokenizer with Python's regular expressions.

Tokenizers split with Oniguruma, whose character classes follow its own Unicode tables. So that library itself is asked
which of the first 65,536 characters ``\p{L}``, ``\p{N}`` or ``\s`` hold, and the classes are spelled out for Python.
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from edgedraft.runtime.text.codec import TextCodec, matching_parts

_LAST = "\uffff"
_SURROGATES = range(0xD800, 0xE000)
_NOTHING = "\ud800"  # half of a surrogate pair, which no text holds
_BEYOND_ASCII = re.compile("[^\x00-\x7f]+")
# The syntax that means the same in both libraries; a pattern that holds anything else is refused.
_SYNTAX = re.compile(
    r"(?P<cls>\\p\{\w+\}|\\[sS])|(?P<escape>\\[rnt]|\\[^\w])|(?P<group>\(\?(?:i:|:|!))|(?P<open>\[\^?)|(?P<close>\])"
    r"|(?P<times>(?:[?*+]|\{\d+(?:,\d*)?\})(?![?*+{]))|(?P<plain>(?=[\x00-\x7f])[^\\()\[\]?*+{}.^$&-])|(?P<end>[|)])",
    re.ASCII,
)
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False}
# ByteLevel's own pattern; source: GPT-2's encoder.
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


class WordPattern:
    """The words of one pattern. Raises `ValueError` where the pattern holds syntax that may mean something else."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._classes: set[str] = set()
        self._find = re.compile(self._translated(), re.ASCII).findall
        self._is_same = lru_cache(maxsize=None)(self._is_treated_the_same)

    def words(self, text: str) -> list[str] | None:
        """Return the words of ``text``; None where they are not certain to be the tokenizer's."""
        if not text.isascii() and not all(map(self._is_same, set("".join(_BEYOND_ASCII.findall(text))))):
            return None
        words: list[str] = self._find(text)
        return words if len("".join(words)) == len(text) else None

    def _is_treated_the_same(self, character: str) -> bool:
        """Tell whether both libraries treat a character beyond ASCII the same."""
        if unicodedata.category(character) == "Cn":
            return False  # assigned in a later version of Unicode, which the tokenizer may know
        folded = character.casefold()
        if "(?i:" in self._pattern and re.search("[a-z]", folded) and folded in self._pattern.lower():
            return False  # such as ſ, which Oniguruma takes for the s of 's
        # Beyond the classes that were spelled out a character must be in none of them.
        return character <= _LAST or not any(matching_parts(name, character) for name in self._classes)

    def _translated(self) -> str:
        """Return the pattern with its classes spelled out."""
        pieces, place, inside = [], 0, False
        while place < len(self._pattern):
            piece = _SYNTAX.match(self._pattern, place)
            if piece is None or (inside and piece.lastgroup in ("open", "group", "times", "end")):
                raise ValueError(f"unknown syntax at {place} of {self._pattern}")
            inside = piece.lastgroup == "open" or (inside and piece.lastgroup != "close")
            pieces.append(self._class(piece[0], inside) if piece.lastgroup == "cls" else piece[0])
            place = piece.end()
        return "".join(pieces)

    def _class(self, name: str, inside: bool) -> str:
        if name == r"\S":
            if inside:
                raise ValueError(f"{name} in a set of {self._pattern}")
            return f"[^{self._class(chr(92) + 's', True)}]"
        self._classes.add(name)
        return _members(name) if inside else f"[{_members(name)}]"


@lru_cache(maxsize=64)
def _members(name: str) -> str:
    """Return the members of a class up to `_LAST`, to stand in a set."""
    characters = "".join(chr(code) for code in range(ord(_LAST) + 1) if code not in _SURROGATES)
    return _ranges(matching_parts(name, characters))


def _ranges(characters: Iterable[str]) -> str:
    ranges: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in ranges) or _NOTHING


def word_pattern(codec: TextCodec) -> WordPattern | None:
    """Return how the codec's tokenizer splits text into words; None where that is not one known pattern."""
    try:
        pattern = _pattern_of(state_of(codec.tokenizer.pre_tokenizer))
        return None if pattern is None else WordPattern(pattern)
    except (ValueError, re.error):
        return None


def state_of(component: Any) -> Any:
    """Return the settings of a part of a tokenizer as plain data; None where it has no such part."""
    return None if component is None else json.loads(component.__getstate__())


def _pattern_of(state: Any) -> str | None:
    if not isinstance(state, dict):
        return None
    if _has(state, _BYTE_LEVEL | {"use_regex": True}):
        return _GPT2
    parts = state.get("pretokenizers", [])
    if len(parts) != 2 or not _has(parts[1], _BYTE_LEVEL | {"use_regex": False}):
        return None
    is_split = _has(parts[0], {"type": "Split", "behavior": "Isolated", "invert": False})
    pattern = parts[0].get("pattern", {}).get("Regex") if is_split else None
    return pattern if isinstance(pattern, str) else None


def _has(state: dict[str, Any], settings: dict[str, Any]) -> bool:
    return all(state.get(key) == value for key, value in settings.items())
