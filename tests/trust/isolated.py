"""Run a trial's code in a forked child with limits of time and memory, and judge how it ended."""

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError
from tests.trust.frame import HungError

MOST_BYTES = 512 * 2**20
"""A child may take that much memory beside what it begins with."""

_HARD_LIMIT_BYTES = 4 * 2**30
_REFUSED, _DONE, _FAILED = "refused", "done", "failed"
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """The text of the `EdgedraftError` that ended a child."""

    text: str


def isolated(run: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Return what ``run`` returns in a child, as JSON data, or its `Refusal`.

    Raises AssertionError for a refusal of several lines, `HungError` after ``seconds``, and RuntimeError for any other
    error, a signal, or too much memory.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _end(run, writing)
    os.close(writing)
    try:
        content = _read(reading, time.monotonic() + seconds)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
    if not content:
        raise RuntimeError(f"the process ended without a word: {os.waitstatus_to_exitcode(status)}")
    kind, value, before = json.loads(content)
    taken = usage.ru_maxrss * 1024 - before
    if taken > MOST_BYTES:
        raise RuntimeError(f"{taken / 2**20:.0f} MiB of memory, then {kind}: {str(value)[:200]}")
    if kind == _FAILED:
        raise RuntimeError(value)
    if kind == _REFUSED:
        assert value.isprintable(), f"a refusal of several lines, or with control characters: {value!r}"
        return Refusal(text=value)
    return value


def _end(run: Callable[[], Any], writing: int) -> None:
    """Run in the child, and never return."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    # Read here, not in the parent: a fork leaves out the pages of mapped files, which the parent's figure counts.
    held, before = (int(pages) * _PAGE_BYTES for pages in Path("/proc/self/statm").read_text().split()[:2])
    resource.setrlimit(resource.RLIMIT_AS, (held + _HARD_LIMIT_BYTES, held + _HARD_LIMIT_BYTES))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    try:
        said: tuple[str, Any] = (_DONE, run())
    except EdgedraftError as error:
        said = (_REFUSED, str(error))
    except BaseException:
        said = (_FAILED, " | ".join(line.strip() for line in traceback.format_exc().splitlines()[-4:]))
    with contextlib.suppress(BaseException), os.fdopen(writing, "w", encoding="utf-8") as stream:
        stream.write(json.dumps((*said, before)))
        stream.flush()
    sys.stderr = None  # type: ignore[assignment]
    os._exit(0)


def _read(reading: int, end: float) -> bytes:
    content = b""
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            raise HungError
        piece = os.read(reading, 1 << 16)
        if not piece:
            return content
        content += piece
