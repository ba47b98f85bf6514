"""Check every output before the work: nothing of the user's is overwritten, and unusable paths are refused."""

import os
import re
import stat
from collections.abc import Collection
from pathlib import Path

from edgedraft.runtime.base.errors import unwritable_is_users
from edgedraft.runtime.base.exchange import real_path
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import tidy

_MOUNTS = Path("/proc/self/mountinfo")
_ANOTHER = "choose another output"
_HEAD_BYTES = 4096


def require_own_folder(path: Path, what: str, marker: str, ours: Collection[str] | None = None) -> None:
    """Refuse to replace ``path`` where files of the user would be lost; call this before long work.

    A path may be replaced if it does not exist, is an empty folder, or is a folder that holds the file ``marker`` and,
    with ``ours``, no other names than these. ``what`` names such a folder in the error. A path that cannot be replaced
    at all is refused, too.
    """
    require_replaceable(path)
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
    """Refuse to replace a file, unless its first 4 KiB hold ``marker``; call this before long work.

    A path that cannot be replaced at all is refused, too.
    """
    require_replaceable(path)
    if not os.path.lexists(path):
        return
    head = b""
    if path.is_file():
        with unwritable_is_users(path), path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    rule = f"{path}: exists and is not {what}"
    require(marker in head, rule, remedy="move it elsewhere, or choose another output folder")


def require_file_name(path: Path) -> None:
    """Refuse a folder where a file is to be written, and a path that cannot be replaced at all."""
    require(not path.is_dir(), f"{path}: expected the name of a file", got="a folder", remedy="add a file's name")
    require_replaceable(path)


def require_replaceable(path: Path) -> None:
    """Refuse a path that cannot be replaced: mount points, devices, the current folder, read-only places."""
    with unwritable_is_users(path):
        real = real_path(path)
        require(real.name != "", f"{path}: the top of a file system cannot be replaced", remedy=_ANOTHER)
        tidy(real)
        _require_writable(path, real)
        if not os.path.lexists(real):
            return
        kind = real.stat().st_mode
    plain = stat.S_ISREG(kind) or stat.S_ISDIR(kind)
    require(plain, f"{path}: a device, pipe or socket cannot be replaced", remedy=_ANOTHER)
    mounts = mount_points(real)
    remedy = "name a new file or folder inside the mounted one" if mounts == [real] else "unmount it, or " + _ANOTHER
    rule = f"{path}: a mount point cannot be replaced"
    require(not mounts, rule, got=", ".join(map(str, mounts[:2])), remedy=remedy)
    here = Path.cwd()
    inside = here == real or real in here.parents
    remedy = "go to another folder first"
    require(not inside, f"{path}: the folder that you are in cannot be replaced", got=here, remedy=remedy)


def _require_writable(path: Path, real: Path) -> None:
    """Check that files can be created in the nearest existing folder above ``real``."""
    above = next((folder for folder in real.parents if os.path.lexists(folder)), real)
    require(above.is_dir(), f"{path}: {above} must be a folder", got="a file", remedy=_ANOTHER)
    allowed = os.name == "nt" or os.access(above, os.W_OK | os.X_OK)  # Windows knows only when it is tried
    require(allowed, f"{path}: nothing can be written in {above}", remedy="choose a folder that you may write to")


def mount_points(path: Path) -> list[Path]:
    """Return ``path`` if it is a mount point, and the mount points below it."""
    found = {path} if os.path.ismount(path) else set()
    try:
        lines = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        walked = (Path(here) / name for here, folders, _ in os.walk(path) for name in folders)
        return sorted(found | {each for each in walked if os.path.ismount(each)})
    named = (re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[4]) for line in lines)
    # A folder of the same file system that is mounted a second time looks like any other; only this list knows.
    return sorted(found | {each for each in map(Path, named) if each == path or path in each.parents})
