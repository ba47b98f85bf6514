"""Read and write cached results; damaged ones are computed again, never used and never an error."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.records import Record, from_plain, require, to_plain

Read = TypeVar("Read")


def kept(read: Callable[[Path], Read], path: Path) -> Read | None:
    """Return what ``read`` reads from ``path``; None if the file is missing or damaged."""
    try:
        return read(path) if path.exists() else None
    except (EdgedraftError, OSError):
        return None


def write_record(path: Path, record: object) -> None:
    """Write a record as JSON with its checksum, atomically."""
    plain = to_plain(record)
    write_json(path, {"sha256": plain_sum(plain), "value": plain})


def record_reader(record: type[Record]) -> Callable[[Path], Record]:
    """Return a reader of files of `write_record`; it raises `EdgedraftError` for any other file or content."""

    def read(path: Path) -> Record:
        data = read_json(path)
        whole = isinstance(data, dict) and "value" in data and data.get("sha256") == plain_sum(data["value"])
        require(whole, f"{path}: not as it was written", remedy="delete it")
        return from_plain(record, data["value"], str(path))

    return read


def short_sum(facts: Any) -> str:
    """Return the beginning of `plain_sum`, 12 digits: long enough to name what a cache keeps by what decided it."""
    return plain_sum(facts)[:12]


def plain_sum(value: Any) -> str:
    """Return the SHA-256 of plain data; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
