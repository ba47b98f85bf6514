"""Temporary files and folders beside the path that they will replace, on the same file system.

They are called siblings. A sibling is locked while its writer lives. The next writer in the same folder removes those
without a lock, whatever they were to replace: an output may have another name every time.
"""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MARK = ".edgedraft-"
_LONGEST_NAME = 200  # bytes; most file systems allow 255, and a sibling's name is longer than its path's
_TEMPORARY = re.compile(rf"\..+{re.escape(_MARK)}[a-z0-9_]{{8}}")  # eight random letters: other endings have a meaning
_DEAD_AFTER_SECONDS = 24 * 60 * 60  # where files cannot be locked


def sibling(path: Path, ending: str) -> Path:
    """Return the path of the sibling whose name ends with ``ending``."""
    return path.with_name(f"{_prefix(path)}{ending}")


@contextlib.contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Yield an empty sibling that only the user can read; if it still exists at the end, remove it."""
    with locked_folder(path.parent):
        remove_dead(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path))
        _lock(handle)
    if fcntl is None:  # Windows neither renames nor removes a file that is open
        os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
        if fcntl is not None:
            os.close(handle)


@contextlib.contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield an empty sibling folder that only the user can read; remove what has its name at the end."""
    with contextlib.ExitStack() as stack:
        with locked_folder(path.parent):
            remove_dead(path.parent)
            folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path)))
            stack.enter_context(_locked(folder))
        try:
            yield folder
        finally:
            remove_quietly(folder)


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, after waiting for it; where there are no locks, go on without.

    A temporary folder is not locked: its only writer has locked it already.
    """
    with contextlib.nullcontext() if _MARK in folder.name else _locked(folder):
        yield


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = _opened(path)
    try:
        if handle is not None:
            _lock(handle)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _prefix(path: Path) -> str:
    name, encoded = path.name, os.fsencode(path.name)
    return f".{name if len(encoded) <= _LONGEST_NAME else hashlib.sha256(encoded).hexdigest()[:32]}{_MARK}"


def remove_dead(folder: Path) -> None:
    """Remove the siblings in ``folder`` whose writers were killed."""
    for each in folder.iterdir():
        if _TEMPORARY.fullmatch(each.name) and _is_dead(each):
            remove_quietly(each)


def remove_quietly(path: Path) -> None:
    """Remove a file or folder; leave what cannot be removed to the next writer."""
    if path.is_dir() and not path.is_symlink():
        for here, _, _ in os.walk(path):
            with contextlib.suppress(OSError):  # a folder may have been protected against changes
                Path(here).chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _is_dead(path: Path) -> bool:
    """Check whether the sibling's lock is free or, where there are no locks, whether it is a day old."""
    handle = None if path.is_symlink() else _opened(path)
    try:
        if handle is not None and fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    finally:
        if handle is not None:
            os.close(handle)
    try:
        return time.time() - path.lstat().st_mtime > _DEAD_AFTER_SECONDS
    except FileNotFoundError:
        return False


def _lock(handle: int) -> None:
    """Lock an open file, after waiting for the lock; where there are no locks, go on without."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError:  # Windows opens no folder; elsewhere it may not be readable
        return None
