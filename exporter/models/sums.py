"""File sizes and checksums of a cached model folder, so that damaged files never become part of a bundle."""

import os
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json, sha256, write_json
from edgedraft.runtime.base.records import from_plain, to_plain
from edgedraft.runtime.bundle.manifest import FileEntry

SUMS_NAME = "sums.json"

_verified: dict[Path, tuple[object, ...]] = {}


def write_sums(folder: Path) -> None:
    """Write the sizes and SHA-256 sums of all files in ``folder`` to a file there, as its last one."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != SUMS_NAME)
    entries = {file.name: FileEntry(bytes=file.stat().st_size, sha256=sha256(file)) for file in files}
    write_json(folder / SUMS_NAME, to_plain(entries))


def read_sums(folder: Path) -> dict[str, FileEntry]:
    """Read what `write_sums` wrote; empty if it is missing or damaged, as in caches of earlier versions."""
    try:
        data = read_json(folder / SUMS_NAME)
        return {str(name): from_plain(FileEntry, facts, str(name)) for name, facts in data.items()}
    except (EdgedraftError, OSError, AttributeError):
        return {}


def is_whole(folder: Path) -> bool:
    """Check every file against its checksum; in one process a file is read again only if it changed."""
    entries = read_sums(folder)
    try:
        stamp = tuple(_stamp(folder / name) for name in (*entries, SUMS_NAME))
        if _verified.get(folder) == stamp and stamp:
            return True
        whole = bool(entries) and all(_is_unchanged(folder / name, entry) for name, entry in entries.items())
    except OSError:
        return False
    if whole:
        _verified[folder] = stamp
    return whole


def _is_unchanged(file: Path, entry: FileEntry) -> bool:
    return file.stat().st_size == entry.bytes and sha256(file) == entry.sha256


def _stamp(file: Path) -> tuple[int, ...]:
    """Return a value that changes with every write to the file."""
    facts: os.stat_result = file.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
