"""The special tokens that a tokenizer adds to a text, and its byte tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from edgedraft.runtime.base.tokenizer_files import tokenizer_settings

_WORD = "a"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecialTokens:
    """Ids that a tokenizer adds ``before`` and ``behind`` a text, and those of its byte tokens.

    ``byte_ids`` (``<0x00>`` … ``<0xFF>``) is empty unless the decoder joins such tokens to characters (byte fallback).
    """

    before: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()
    byte_ids: frozenset[int] = frozenset()

    def around(self, token_ids: Sequence[int]) -> list[int]:
        """Return the ids of a text with the special ones added; those that are there already are not added again."""
        before, behind, ids = list(self.before), list(self.behind), list(token_ids)
        before = [] if ids[: len(before)] == before else before
        behind = [] if behind and ids[-len(behind) :] == behind else behind
        return [*before, *ids, *behind]


def read_special_tokens(folder: Path, tokenizer: Tokenizer) -> SpecialTokens:
    """Return the special tokens of the tokenizer in ``folder``.

    They are those of its post-processor. If that adds no first token, ``add_bos_token`` of the settings decides.
    """
    whole, plain = tokenizer.encode(_WORD).ids, tokenizer.encode(_WORD, add_special_tokens=False).ids
    start = next((at for at in range(len(whole)) if whole[at : at + len(plain)] == plain), 0)
    before, behind = tuple(whole[:start]), tuple(whole[start + len(plain) :])
    settings = tokenizer_settings(folder)
    first = special_id(tokenizer, settings, "bos_token") if settings.get("add_bos_token") is True else None
    if first is not None and first not in before:
        before = (first, *before)
    return SpecialTokens(before=before, behind=behind, byte_ids=_byte_ids(tokenizer))


def special_id(tokenizer: Tokenizer, settings: Mapping[str, Any], name: str) -> int | None:
    """Return the id of the token that the settings call ``name``, such as ``eos_token``; None if there is none."""
    token = settings.get(name)
    text = token.get("content") if isinstance(token, Mapping) else token
    return tokenizer.token_to_id(text) if isinstance(text, str) else None


def _byte_ids(tokenizer: Tokenizer) -> frozenset[int]:
    decoder = tokenizer.decoder
    if decoder is None or "ByteFallback" not in decoder.__getstate__().decode():
        return frozenset()
    ids = (tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in range(256))
    return frozenset(token_id for token_id in ids if token_id is not None)
