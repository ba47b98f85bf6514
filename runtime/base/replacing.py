"""Replacing files and folders in one step: at every moment, a reader and a crash find the old one or the new one."""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError, full_disk_is_users, unwritable_is_users
from edgedraft.runtime.base.exchange import exchange, make_folder, real_path, sync_file, sync_folder, sync_tree
from edgedraft.runtime.base.siblings import (
    locked_folder,
    remove_dead,
    remove_quietly,
    sibling,
    temporary_file,
    temporary_folder,
)

IsOurs = Callable[[str], bool]
"""Tells from a file's name below a folder, with forward slashes, whether this package wrote it."""

_RETIRED, _FINISHED = "old", "new"


@contextlib.contextmanager
def replacing_file(path: Path, mode: int | None = None) -> Iterator[Path]:
    """Yield a temporary sibling to write to; when the block succeeds, it replaces ``path``, synced to disk.

    Only the user can read the sibling. The file gets ``mode``, or that of the file it replaces, or 0666 reduced by the
    user's umask. A link stays: the file that it leads to is replaced.
    """
    path = real_path(path)
    with contextlib.ExitStack() as stack:
        with unwritable_is_users(path):
            make_folder(path.parent)
            temporary = stack.enter_context(temporary_file(path))
        with full_disk_is_users(path):
            yield temporary
        with unwritable_is_users(path):
            temporary.chmod(_mode(path, 0o666) if mode is None else mode)
            sync_file(temporary)
            temporary.replace(path)
            sync_folder(path.parent)


@contextlib.contextmanager
def replacing_folder(path: Path, is_ours: IsOurs | None = None) -> Iterator[Path]:
    """Yield a temporary sibling folder to fill; when the block succeeds, it replaces ``path``, synced to disk.

    Files in the old folder that are not ``is_ours`` (None: all are ours) go into the new one; where it has another file
    of such a name, an `EdgedraftError` is raised and nothing is changed. A link stays: the folder that it leads to is
    replaced. A kill leaves the old folder or the new one; see `resume`.
    """
    path = real_path(path)
    with contextlib.ExitStack() as stack:
        with unwritable_is_users(path):
            make_folder(path.parent)
            tidy(path)
            temporary = stack.enter_context(temporary_folder(path))
        with full_disk_is_users(path):
            yield temporary
        with unwritable_is_users(path):
            temporary.chmod(_mode(path, 0o777))
            if is_ours is not None and path.is_dir():
                carry(path, temporary, is_ours)
            sync_tree(temporary)
            with locked_folder(path.parent):
                _put_in_place(temporary, path, is_ours)


def resume(path: Path) -> None:
    """Finish a replacement of ``path`` that was killed where a system cannot swap two folders in one step.

    Between its two renames there is nothing at ``path``: the finished new folder and the old one lie beside it. Does
    nothing in any other case, nor where the folders cannot be renamed.
    """
    path = real_path(path)
    if not path.name:  # the top of a file system
        return
    retired, finished = sibling(path, _RETIRED), sibling(path, _FINISHED)
    if not (retired.exists() or finished.exists()):
        return
    with contextlib.suppress(OSError), locked_folder(path.parent):
        if not path.exists() and retired.exists():
            (finished if finished.exists() else retired).rename(path)
            sync_folder(path.parent)
        if path.exists():
            remove_quietly(finished)
            remove_quietly(retired)


def tidy(path: Path) -> None:
    """Finish what a killed writer of ``path`` began, and remove what others left beside it; for writers only."""
    resume(path)
    if path.parent.is_dir():
        with contextlib.suppress(OSError), locked_folder(path.parent):
            remove_dead(path)


def _put_in_place(temporary: Path, path: Path, is_ours: IsOurs | None) -> None:
    """Make ``temporary`` the folder ``path``; what was there before lies at ``temporary`` afterwards."""
    if not os.path.lexists(path):
        temporary.rename(path)
    elif not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a file has come to be there", str(path))
    else:
        if not exchange(temporary, path):
            _retire(temporary, path)
        if is_ours is not None:
            carry(temporary, path, is_ours, only_missing=True)  # what the user has put there meanwhile
    sync_folder(path.parent)


def _retire(temporary: Path, path: Path) -> None:
    """Replace ``path`` by two renames; `resume` finishes them after a kill."""
    retired, finished = sibling(path, _RETIRED), sibling(path, _FINISHED)
    temporary.rename(finished)
    path.rename(retired)
    finished.rename(path)
    sync_folder(path.parent)
    retired.rename(temporary)


def carry(old: Path, new: Path, is_ours: IsOurs, *, only_missing: bool = False) -> None:
    """Give ``new`` every file of the folder ``old`` that is not ours, by links where the file system has them.

    Raises `EdgedraftError` where ``new`` has a file of that name already, unless ``only_missing`` are given to it.
    """
    for name in foreign_names(old, is_ours):
        there = os.path.lexists(new / name)
        if there and not only_missing:
            rule = f"{old / name}: not a file that edgedraft wrote, and the new folder has one of that name"
            raise EdgedraftError(rule, remedy="move it elsewhere")
        if not there:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(old / name, new / name)


def foreign_names(folder: Path, is_ours: IsOurs) -> list[str]:
    """List the files and empty folders below ``folder`` that are not ours, by names with forward slashes.

    A link counts as a file. Raises OSError for a folder that cannot be read.
    """
    names: list[Path] = []
    for here, folders, files in os.walk(folder, onerror=_raise):
        at = Path(here)
        names += [at / name for name in files]
        names += [at / name for name in folders if (at / name).is_symlink() or not any((at / name).iterdir())]
    below = sorted(each.relative_to(folder).as_posix() for each in names)
    return [name for name in below if not is_ours(name)]


def link_or_copy(source: Path, destination: Path) -> None:
    """Give the file a second name; copy it where the file system has no links. An empty folder is made anew."""
    if source.is_dir() and not source.is_symlink():
        destination.mkdir()
        return
    try:
        os.link(source, destination, follow_symlinks=False)
    except (OSError, NotImplementedError):
        kind = source.lstat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISLNK(kind)):
            raise  # a pipe or a device cannot be copied
        shutil.copy2(source, destination, follow_symlinks=False)


def _raise(error: OSError) -> None:
    raise error


def _mode(path: Path, usual: int) -> int:
    """Return the permissions of what is at ``path``, or the usual ones without the user's umask."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return usual & ~umask
