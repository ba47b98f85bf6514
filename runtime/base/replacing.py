"""Replace files and folders in one step: readers, and any crash, find the old one or the new one."""

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
    """Yield a temporary file to write to; when the block succeeds, it replaces ``path``, synced to disk.

    Only the user can read the temporary file. The new file gets ``mode``, or the mode of the file it replaces, or 0666
    reduced by the umask. A symbolic link stays, and the file that it points to is replaced.
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
    """Yield a temporary folder to fill; when the block succeeds, it replaces ``path``, synced to disk.

    Files of the old folder for which ``is_ours`` is false are kept in the new one (None: all are ours). If the new
    folder has another file with the same name, an `EdgedraftError` is raised and nothing is changed. A symbolic link
    stays, and the folder that it points to is replaced. A kill leaves the old folder or the new one; see `resume`.
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
    """Finish a killed replacement of ``path`` on a system that cannot exchange two folders in one step.

    Between its two renames there is nothing at ``path``; the finished new folder and the old one are beside it. In any
    other case, and where the folders cannot be renamed, nothing happens.
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
    """Finish what a killed writer of ``path`` began, and remove temporary files beside it; only writers call this."""
    resume(path)
    if path.parent.is_dir():
        with contextlib.suppress(OSError), locked_folder(path.parent):
            remove_dead(path.parent)


def _put_in_place(temporary: Path, path: Path, is_ours: IsOurs | None) -> None:
    """Make ``temporary`` the folder ``path``; the previous one is at ``temporary`` afterwards."""
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
    """Replace ``path`` by two renames, which `resume` finishes after a kill."""
    retired, finished = sibling(path, _RETIRED), sibling(path, _FINISHED)
    temporary.rename(finished)
    path.rename(retired)
    finished.rename(path)
    sync_folder(path.parent)
    retired.rename(temporary)


def carry(old: Path, new: Path, is_ours: IsOurs, *, only_missing: bool = False) -> None:
    """Add every file of the folder ``old`` that is not ours to ``new``, by hard links where possible.

    Raises `EdgedraftError` if ``new`` has a file of that name already, unless ``only_missing`` is set.
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
    """Hard-link the file to a second name, or copy it if the file system has no links; make an empty folder anew."""
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
    """Return the permissions of what is at ``path``, or the usual ones reduced by the umask."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return usual & ~umask
