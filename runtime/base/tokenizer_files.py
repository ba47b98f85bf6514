"""Tokenizer files of a model folder: their names, and a fingerprint of the tokenizer's meaning."""

import hashlib
import json
from pathlib import Path

from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.records import require

CHAT_TEMPLATE = "chat_template.jinja"
TOKENIZER_SETTINGS = "tokenizer_config.json"
TEXT_FILES = ("tokenizer.json", TOKENIZER_SETTINGS, CHAT_TEMPLATE)
"""Files that decide how text becomes token ids, and how a conversation becomes text. Only the first must exist."""

# Truncation and padding are not part of the meaning: `TextCodec` switches them off.
_MEANING = ("model", "normalizer", "pre_tokenizer", "added_tokens")


def tokenizer_fingerprint(path: Path) -> str:
    """Return the SHA-256 of all that decides the ids: vocabulary, merges, normalizer, pre-tokenizer, added tokens.

    Two files with the same fingerprint turn every text into the same ids, whatever else they hold.
    """
    data = read_json(path)
    require(isinstance(data, dict) and "model" in data, f"{path}: not a tokenizer file", got=type(data).__name__)
    meaning = {key: data.get(key) for key in _MEANING}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
