"""Tokenizer files of a model folder: their names, what their ids mean, and fingerprints."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.records import require

CHAT_TEMPLATE = "chat_template.jinja"
TOKENIZER = "tokenizer.json"
TOKENIZER_SETTINGS = "tokenizer_config.json"
TEXT_FILES = (TOKENIZER, TOKENIZER_SETTINGS, CHAT_TEMPLATE)
"""Files that decide how text becomes token ids, and how a conversation becomes text. Only the first must exist."""

# Truncation and padding are not part of the encoding: `TextCodec` switches them off.
_ENCODING = ("model", "normalizer", "pre_tokenizer", "added_tokens")
# What converters call rows of the head that no token belongs to.
_PADDING = re.compile(r"\[PAD(\d+)\]|<dummy(\d+)>")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Vocabulary:
    """The meaning of a tokenizer's ids: ``pieces`` by id, added tokens among them, padding left out.

    ``merges`` are the pairs that byte-pair encoding joins, in order, each as one text. They are None where they follow
    from other numbers (SentencePiece's scores) and every converter writes them in an order of its own. ``unused`` are
    ids that the file itself marks as such.
    """

    pieces: Mapping[int, str]
    merges: tuple[str, ...] | None = None
    unused: frozenset[int] = frozenset()

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of pieces and merges, however they were written."""
        meaning = [sorted((token_id, plain_piece(piece)) for token_id, piece in self.pieces.items()), self.merges]
        return hashlib.sha256(json.dumps(meaning, ensure_ascii=False).encode(errors="surrogatepass")).hexdigest()


def read_vocabulary(path: Path) -> Vocabulary:
    """Read the vocabulary of a tokenizer.json; raise `EdgedraftError` for a file that is none."""
    try:
        return _vocabulary(_tokenizer(path))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        if isinstance(error, EdgedraftError):
            raise
        raise EdgedraftError(f"{path}: not a tokenizer file", got=f"{type(error).__name__}: {error}") from error


def _vocabulary(data: Mapping[str, Any]) -> Vocabulary:
    model, added = data["model"], data.get("added_tokens") or []
    vocab = model.get("vocab") or {}
    listed = vocab.items() if isinstance(vocab, Mapping) else ((each[0], place) for place, each in enumerate(vocab))
    pieces = {int(token_id): str(piece) for piece, token_id in listed}
    pieces |= {int(token["id"]): str(token["content"]) for token in added}
    merges = model.get("merges")
    by_scores = merges is None or bool(model.get("byte_fallback"))
    return Vocabulary(pieces=without_padding(pieces.items()), merges=None if by_scores else plain_merges(merges))


def without_padding(pieces: Iterable[tuple[int, str]]) -> dict[int, str]:
    """Return the pieces by id, without those that only fill rows of the head."""
    return {token_id: piece for token_id, piece in pieces if not _is_padding(token_id, piece)}


def plain_merges(merges: Iterable[str | list[str]]) -> tuple[str, ...]:
    """Return merges as texts with one space: newer files write pairs, and older ones texts."""
    return tuple(_joined(each) for each in merges)


def _joined(merge: str | list[str]) -> str:
    return merge if isinstance(merge, str) else " ".join(part.replace(" ", "Ġ") for part in merge)


def plain_piece(piece: str) -> str:
    """Return a piece as all converters agree on it: some write a space for SentencePiece's sign of one."""
    return piece.replace("\u2581", " ")


def tokenizer_settings(folder: Path) -> Mapping[str, Any]:
    """Read tokenizer_config.json of a model folder; empty where there is none."""
    path = folder / TOKENIZER_SETTINGS
    content = read_json(path) if os.path.lexists(path) else {}
    return content if isinstance(content, Mapping) else {}


def tokenizer_fingerprint(path: Path) -> str:
    """Return the SHA-256 of what a tokenizer's ids mean: pieces, added tokens and merges, but no padding.

    Files of one fingerprint have the same ids for the same tokens. How they are spelled takes no part, nor does how
    text is cut up before: that is `encoding_fingerprint`.
    """
    return read_vocabulary(path).fingerprint


def encoding_fingerprint(path: Path) -> str:
    """Return the SHA-256 of all that decides token ids: vocabulary, merges, normalizer, pre-tokenizer, added tokens.

    Two files with the same fingerprint turn every text into the same ids, whatever else they hold.
    """
    data = _tokenizer(path)
    encoding = {key: data.get(key) for key in _ENCODING}
    said = json.dumps(encoding, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()


def has_fingerprint(path: Path, fingerprint: str) -> bool:
    """Return whether ``fingerprint`` is the tokenizer's, also as older versions took it."""
    return fingerprint == tokenizer_fingerprint(path) or fingerprint == encoding_fingerprint(path)


def _tokenizer(path: Path) -> Mapping[str, Any]:
    data = read_json(path)
    valid = isinstance(data, dict) and isinstance(data.get("model"), dict)
    require(valid, f"{path}: not a tokenizer file", got=type(data).__name__)
    return dict(data)


def _is_padding(token_id: int, piece: str) -> bool:
    match = _PADDING.fullmatch(piece)
    return match is not None and int(match[1] or match[2]) == token_id
