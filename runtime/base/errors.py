"""The base class of all errors: every message names the rule, the value that broke it, and a remedy."""

import contextlib
import errno
import re
from collections.abc import Iterator
from pathlib import Path

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SHOWN_CHARACTERS, _LONGEST_LINE = 60, 2000
# Control characters, the signs that reorder the text around them, and halves of surrogate pairs.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class EdgedraftError(ValueError):
    """An error that the user can correct; its text is one line: ``rule, got X - remedy``.

    The command line prints it and exits with 2.
    """

    def __init__(self, rule: str, *, got: object = None, remedy: str | None = None) -> None:
        self.rule = rule
        self.got = got
        self.remedy = remedy
        value = "" if got is None else f", got {got}"
        advice = "" if remedy is None else f" - {remedy}"
        super().__init__(printable(f"{rule}{value}{advice}"))


class MissingExtraError(EdgedraftError):
    """A command needs packages that this installation left out."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed", remedy=f'pip install "edgedraft[{extra}]"')


@contextlib.contextmanager
def naming_missing_extra(extra: str) -> Iterator[None]:
    """Turn the error for a missing package in the block into a `MissingExtraError` that names ``extra``."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("edgedraft"):
            raise  # our own module is missing: a bug, not an extra
        raise MissingExtraError(error.name, extra) from error


def printable(text: str, kept: str = "") -> str:
    """Return ``text`` with control characters written as Python does, such as ``\\x1b``, except those in ``kept``.

    A terminal obeys them, so that a text of a stranger could clear the screen or hide what stands before it.
    """

    def written(match: re.Match[str]) -> str:
        return match[0] if match[0] in kept else ascii(match[0])[1:-1]

    return _UNPRINTABLE.sub(written, text)


def first_line(error: BaseException) -> str:
    """Return the first line of a foreign error's text, or its class where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:_LONGEST_LINE] if lines else type(error).__name__


def shown(value: object) -> str:
    """Return a value for an error's one line, shortened if it is long."""
    try:
        line = repr(value)
    except (ValueError, RecursionError):  # Python writes no numbers of thousands of digits, and no deep lists
        line = f"a {type(value).__name__} too large to show"
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"


@contextlib.contextmanager
def naming(where: object, remedy: str | None = None) -> Iterator[None]:
    """Put ``where`` (a file, or a file and line) in front of any `EdgedraftError` raised in the block.

    An error whose text already begins with ``where`` keeps it. ``remedy``, if given, replaces the error's own.
    """
    try:
        yield
    except EdgedraftError as error:
        rule = error.rule if error.rule.startswith(str(where)) else f"{where}: {error.rule}"
        raise EdgedraftError(rule, got=error.got, remedy=remedy or error.remedy) from error


@contextlib.contextmanager
def full_disk_is_users(path: Path) -> Iterator[None]:
    """Turn 'no room left' from the system into an `EdgedraftError` that names ``path``; other errors pass."""
    try:
        yield
    except OSError as error:
        if not _is_full(error):
            raise
        raise _full(path, error) from error


@contextlib.contextmanager
def unwritable_is_users(path: Path) -> Iterator[None]:
    """Turn any system error in writing ``path`` into an `EdgedraftError` that names it."""
    try:
        yield
    except OSError as error:
        if _is_full(error):
            raise _full(path, error) from error
        remedy = "choose another output; nothing that was there before was changed"
        raise EdgedraftError(f"{path}: cannot be written", got=error.strerror or error, remedy=remedy) from error


def _is_full(error: OSError) -> bool:
    # numpy writes arrays by C's own functions and keeps no error number.
    return error.errno in _NO_ROOM or (error.errno is None and "requested and" in str(error))


def _full(path: Path, error: OSError) -> EdgedraftError:
    return EdgedraftError(
        f"{path}: no room left while writing",
        got=error.strerror or error,
        remedy="free some space or choose another folder; nothing that was there before was changed",
    )
