"""Open files of strangers: plain files only, of a bounded size; opening a pipe or a device never waits."""

import contextlib
import mmap
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# Opening a pipe waits for its writer, and opening a terminal may make it this process's own; Windows has neither flag.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


@contextlib.contextmanager
def opened_plain(path: Path, most_bytes: int | None = None) -> Iterator[BufferedReader]:
    """Open the plain file at ``path`` for reading; a link to one counts as one.

    Raises `EdgedraftError` that names the path for a missing or unreadable file, for anything else than a plain file,
    and for one of more than ``most_bytes``. Errors in the block pass unchanged.
    """
    require_plain_file(path, most_bytes)  # before it is opened: opening some devices does something
    with reading_is_users(path):
        handle = os.open(path, _FLAGS)
    with os.fdopen(handle, "rb") as file:
        _check(path, os.fstat(handle), most_bytes)
        yield file


@contextlib.contextmanager
def mapped_plain(path: Path) -> Iterator[mmap.mmap]:
    """Map the plain file at ``path`` into memory for reading; errors as `opened_plain`, ValueError for an empty one."""
    with opened_plain(path) as file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:  # larger than the memory that this process may address
            raise EdgedraftError(f"{path}: cannot be mapped into memory", got=error.strerror or error) from error
        with mapped:
            yield mapped


def read_plain(path: Path, most_bytes: int) -> bytes:
    """Return the content of the plain file at ``path``, of at most ``most_bytes``; errors as `opened_plain`."""
    with opened_plain(path, most_bytes) as file, reading_is_users(path):
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:  # it has grown meanwhile
        raise _too_large(path, most_bytes, len(content))
    return content


def require_plain_file(path: Path, most_bytes: int | None = None) -> int:
    """Return the size of the plain file at ``path`` in bytes; errors as `opened_plain`, without opening it."""
    with reading_is_users(path):
        facts = path.stat()
    _check(path, facts, most_bytes)
    return facts.st_size


def holds_file(path: Path) -> bool:
    """Return whether a plain file stands at ``path``, or False where nothing does.

    Raises `EdgedraftError` for anything else, also for a link to nothing: a file that is there but cannot be read must
    not count as one that a model came without.
    """
    with reading_is_users(path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path.lstat()
        require_plain_file(path)
        return True
    return False


@contextlib.contextmanager
def reading_is_users(path: Path) -> Iterator[None]:
    """Turn the system's errors in the block into an `EdgedraftError` that names ``path``."""
    try:
        yield
    except FileNotFoundError as error:
        raise EdgedraftError(f"{path}: no such file") from error
    except OSError as error:
        raise EdgedraftError(f"{path}: cannot be read", got=error.strerror or error) from error
    except ValueError as error:
        if isinstance(error, EdgedraftError):
            raise
        raise EdgedraftError(f"{path}: cannot be read", got=error) from error  # a zero byte in the name


def _check(path: Path, facts: os.stat_result, most_bytes: int | None) -> None:
    if not stat.S_ISREG(facts.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(facts.st_mode)), "something else")
        raise EdgedraftError(f"{path}: expected a plain file", got=kind)
    if most_bytes is not None and facts.st_size > most_bytes:
        raise _too_large(path, most_bytes, facts.st_size)


def _too_large(path: Path, most_bytes: int, size: int) -> EdgedraftError:
    return EdgedraftError(f"{path}: expected a file of at most {most_bytes:,} bytes", got=f"{size:,}")
