"""Hashing files, reading JSON, and writing it atomically."""

import hashlib
import json
from pathlib import Path
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.replacing import replacing_file


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Read the JSON value in ``path``; a missing or broken file raises an `EdgedraftError` that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EdgedraftError(f"{path}: no such file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EdgedraftError(f"{path}: not valid JSON", got=str(error)) from error


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
