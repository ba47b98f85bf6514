"""Steps on names and disks that Python's library lacks: swap two names at once, sync folders, make synced ones."""

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
    """Swap two existing names of one file system in one step; return False where the system cannot.

    Linux does it by renameat2, macOS by renamex_np; some file systems of either, and Windows, do not.
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

    The handle can write, as Windows demands. A file that may not be written is left alone: it was not written here.
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
    """Wait until the names in the folder are on disk; on systems that cannot be asked, do nothing."""
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
    """Wait until every file below the folder, every name, and the folder itself are on disk."""
    for here, _, names in os.walk(path, topdown=False):
        for file in (Path(here) / name for name in names):
            if stat.S_ISREG(file.lstat().st_mode):
                sync_file(file)
        sync_folder(Path(here))


def real_path(path: Path) -> Path:
    """Return where the path's links lead; links that lead in a circle are no error here, but whenever it is opened."""
    return Path(os.path.realpath(path))


def make_folder(path: Path) -> None:
    """Make a folder and its parents, each of them synced."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)
