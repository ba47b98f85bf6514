"""Tokenizer files of a model folder: their names, and a fingerprint of everything that decides token ids."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.records import require

CHAT_TEMPLATE = "chat_template.jinja"
TOKENIZER_SETTINGS = "tokenizer_config.json"
TEXT_FILES = ("tokenizer.json", TOKENIZER_SETTINGS, CHAT_TEMPLATE)
"""Files that decide how text becomes token ids, and how a conversation becomes text. Only the first must exist."""

# Truncation and padding are not part of the meaning: `TextCodec` switches them off.
_MEANING = ("model", "normalizer", "pre_tokenizer", "added_tokens")


def tokenizer_settings(folder: Path) -> Mapping[str, Any]:
    """Read tokenizer_config.json of a model folder; empty where there is none."""
    path = folder / TOKENIZER_SETTINGS
    content = read_json(path) if path.is_file() else {}
    return content if isinstance(content, Mapping) else {}


def tokenizer_fingerprint(path: Path) -> str:
    """Return the SHA-256 of all that decides token ids: vocabulary, merges, normalizer, pre-tokenizer, added tokens.

    Two files with the same fingerprint turn every text into the same ids, whatever else they hold.
    """
    data = read_json(path)
    require(isinstance(data, dict) and "model" in data, f"{path}: not a tokenizer file", got=type(data).__name__)
    meaning = {key: data.get(key) for key in _MEANING}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
