"""SHA-256 of large files, kept beside each other so that a file is read through once and not at every start."""

from dataclasses import dataclass
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json, sha256, write_json
from edgedraft.runtime.base.records import from_plain, to_plain
from edgedraft.runtime.bundle.manifest import FileEntry


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sum:
    """What a file's SHA-256 was, when it had this size and was last changed at this time."""

    bytes: int
    changed_nanoseconds: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sums:
    """Sums by the files' absolute paths."""

    files: dict[str, _Sum]


def kept_entry(file: Path, store: Path) -> FileEntry:
    """Size and SHA-256 of ``file``, from the JSON file ``store`` unless ``file`` changed since; told there."""
    about, key = file.stat(), str(file.resolve())
    sums = _read(store)
    known = sums.get(key)
    if known is None or (known.bytes, known.changed_nanoseconds) != (about.st_size, about.st_mtime_ns):
        known = _Sum(bytes=about.st_size, changed_nanoseconds=about.st_mtime_ns, sha256=sha256(file))
        write_json(store, to_plain(_Sums(files={**sums, key: known})))
    return FileEntry(bytes=known.bytes, sha256=known.sha256)


def _read(store: Path) -> dict[str, _Sum]:
    """What is kept; a store that is missing or broken keeps nothing."""
    try:
        return from_plain(_Sums, read_json(store), str(store)).files
    except EdgedraftError:
        return {}
