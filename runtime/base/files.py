"""Hashing files, reading JSON, and writing it atomically."""

import hashlib
import json
from pathlib import Path
from typing import Any

from edgedraft.runtime.base.json_text import parsed_json
from edgedraft.runtime.base.plain_files import opened_plain, read_plain
from edgedraft.runtime.base.replacing import replacing_file

MOST_JSON_BYTES = 2**28
"""Largest JSON file that is read; the largest tokenizers have a tenth of it."""


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal; raise `EdgedraftError` for anything but a readable, plain file."""
    with opened_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path, most_bytes: int = MOST_JSON_BYTES, *, infinite: bool = False) -> Any:
    """Read the JSON value in ``path``; a missing or broken file raises an `EdgedraftError` that names it.

    See `parsed_json` for what is refused beside invalid JSON.
    """
    return parsed_json(read_plain(path, most_bytes), str(path), infinite=infinite)


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
