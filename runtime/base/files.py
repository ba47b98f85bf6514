"""Atomic writing of files and folders, hashing, and JSON."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError, full_disk_is_users
from edgedraft.runtime.base.records import require


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


def require_own_folder(path: Path, what: str, marker: str, ours: Collection[str] | None = None) -> None:
    """Refuse to replace ``path`` unless nothing of its user's is lost; callers ask before they begin long work.

    Free are a name that is not taken, an empty folder, and a folder that holds the file ``marker`` and, where ``ours``
    is given, no names but these. ``what`` names such a folder in the error.
    """
    if not os.path.lexists(path):
        return
    names = sorted(each.name for each in path.iterdir()) if path.is_dir() else None
    foreign = [name for name in names or () if ours is not None and name not in ours]
    remedy = "choose a new folder: this one is replaced as a whole"
    rule = f"{path}: expected a folder with nothing but {what}"
    require(not foreign, rule, got=", ".join(foreign[:4]), remedy=remedy)
    free = names == [] or (path / marker).is_file()
    require(free, f"{path}: exists and is not {what}", remedy="choose another output folder")


def require_own_file(path: Path, what: str, marker: bytes) -> None:
    """Refuse to replace a file that its user has not named, unless its first 4 KiB hold ``marker``."""
    if not os.path.lexists(path):
        return
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(4096)
    rule = f"{path}: exists and is not {what}"
    require(marker in head, rule, remedy="move it elsewhere, or choose another output folder")


def require_file_name(path: Path) -> None:
    """Refuse a folder where a file is to be written."""
    require(not path.is_dir(), f"{path}: expected the name of a file", got="a folder", remedy="add a file's name")


@contextlib.contextmanager
def replacing_file(path: Path, mode: int | None = None) -> Iterator[Path]:
    """Give a temporary sibling to write to; when the block succeeds it takes the place of ``path``.

    Nobody else can read the sibling. The file gets ``mode``, or what the user's umask leaves of 0666.
    """
    with full_disk_is_users(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
    temporary = Path(name)
    try:
        with full_disk_is_users(path):
            yield temporary
            _flush_to_disk(temporary)
        temporary.chmod(0o666 & ~_umask() if mode is None else mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a temporary sibling folder to fill; when the block succeeds it takes the place of ``path``.

    A crash leaves either the old folder or none, never a mixture.
    """
    with full_disk_is_users(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        with full_disk_is_users(path):
            yield temporary
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            retired = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            path.replace(retired / path.name)
            temporary.replace(path)
            shutil.rmtree(retired, ignore_errors=True)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
