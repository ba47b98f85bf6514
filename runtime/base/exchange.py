"""File operations that Python's library lacks: exchange two names in one step, sync files, folders and trees."""

import ctypes
import errno
import os
import stat
from pathlib import Path
from typing import Any

_AT_FDCWD = -100
_RENAME_EXCHANGE = _RENAME_SWAP = 2
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_NO_FOLDER_SYNC = {errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def exchange(first: Path, second: Path) -> bool:
    """Exchange two existing names of one file system in one step; return False if the system cannot.

    Linux uses renameat2, macOS renamex_np. Windows and some file systems have no such operation.
    """
    names = os.fsencode(first), os.fsencode(second)
    library: Any = None if os.name == "nt" else ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        failed = library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
    elif hasattr(library, "renamex_np"):
        failed = library.renamex_np(*names, _RENAME_SWAP)
    else:
        return False
    if failed and (code := ctypes.get_errno()) not in _UNSUPPORTED:
        raise OSError(code, os.strerror(code), str(second))
    return not failed


def sync_file(path: Path) -> None:
    """Wait until the file's content is on disk.

    The file is opened for writing, as Windows requires. A file that may not be written is skipped: it was not written
    here.
    """
    try:
        handle = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Wait until the names in the folder are on disk; do nothing on systems that cannot sync folders."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folder
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def sync_tree(path: Path) -> None:
    """Wait until the folder and every file and folder below it are on disk."""
    for here, _, names in os.walk(path, topdown=False):
        for file in (Path(here) / name for name in names):
            if stat.S_ISREG(file.lstat().st_mode):
                sync_file(file)
        sync_folder(Path(here))


def real_path(path: Path) -> Path:
    """Return the path with its links resolved; a circle of links raises no error here, only when it is opened."""
    return Path(os.path.realpath(path))


def make_folder(path: Path) -> None:
    """Make a folder and its parents, and sync each of them."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)
