"""Read a folder that another process may replace meanwhile: all of it is read from one version."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.replacing import resume

_ATTEMPTS = 20

Read = TypeVar("Read")
Options = ParamSpec("Options")
_Identity = tuple[int, int] | None


def from_one_folder(path: Path, read: Callable[[], Read]) -> Read:
    """Return what ``read`` reads below ``path``, all of it from one version of the folder.

    A writer replaces a folder as a whole. If ``path`` leads to another folder afterwards, files of both may be mixed:
    the result, or the error, is dropped and ``read`` is called again.
    """
    for _ in range(_ATTEMPTS):
        resume(path)
        with _opened(path) as folder:
            try:
                result = read()
            except (EdgedraftError, OSError):
                if _identity(path) == folder:
                    raise
            else:
                if _identity(path) == folder:
                    return result
    raise EdgedraftError(f"{path}: replaced again and again while it was read", remedy="stop the other program")


def reading_one_folder(
    opening: Callable[Concatenate[type[Read], Path, Options], Read],
) -> Callable[Concatenate[type[Read], Path, Options], Read]:
    """Wrap a class method that opens the folder in its first argument in `from_one_folder`."""

    @functools.wraps(opening)
    def opened(kind: type[Read], path: Path, /, *arguments: Options.args, **options: Options.kwargs) -> Read:
        return from_one_folder(path, lambda: opening(kind, path, *arguments, **options))

    return opened


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Identity]:
    """Yield an identifier of the folder and keep it open, so that no other folder can get the same one."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # it is missing, or this is Windows, which opens no folder
        yield _identity(path)
        return
    try:
        facts = os.fstat(handle)
        yield facts.st_dev, facts.st_ino
    finally:
        os.close(handle)


def _identity(path: Path) -> _Identity:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
