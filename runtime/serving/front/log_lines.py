"""Bound what a server's libraries log: a line for each event, and few lines in all."""

import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from edgedraft.runtime.base.errors import first_line

LOGGERS = ("uvicorn.error", "asyncio")

_AT_ONCE, _SECONDS_PER_LINE = 20, 30.0
_LONGEST_LINE = 300


class LineLimit(logging.Filter):
    """A filter that shortens each record to one line, and lets only some pass.

    The first ``at_once`` records pass, then one in every ``seconds``. A line says how many were left out before it.
    """

    def __init__(
        self, at_once: int = _AT_ONCE, seconds: float = _SECONDS_PER_LINE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._at_once, self._seconds, self._clock = at_once, seconds, clock
        self._allowed, self._since, self._left_out = float(at_once), clock(), 0
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record passes; its text becomes one line."""
        with self._lock:
            now = self._clock()
            self._allowed = min(self._at_once, self._allowed + (now - self._since) / self._seconds)
            self._since = now
            if self._allowed < 1:
                self._left_out += 1
                return False
            self._allowed -= 1
            left_out, self._left_out = self._left_out, 0
        before = f"({left_out} lines left out) " if left_out else ""
        record.msg, record.args = f"{before}{_one_line(record)}", ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True


@contextlib.contextmanager
def bounded_log() -> Iterator[None]:
    """Bound the lines of `LOGGERS` in the block; the handlers of the program that runs the server stay as they are."""
    limit = LineLimit()
    for name in LOGGERS:
        logging.getLogger(name).addFilter(limit)
    try:
        yield
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeFilter(limit)


def _one_line(record: logging.LogRecord) -> str:
    text = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        text = f"{text}: {type(error).__name__}: {first_line(error)}{where}"
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:_LONGEST_LINE]
