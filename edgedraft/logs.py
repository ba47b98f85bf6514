"""Show the library's log where the user asked for it."""

import contextlib
import logging
from collections.abc import Callable, Iterator

LOG = logging.getLogger("edgedraft")
_FORMAT = "%(relativeCreated)6d ms %(name)s: %(message)s"


class NoteHandler(logging.Handler):
    """Hands every record to a function that shows a line."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note
        self.setFormatter(logging.Formatter(_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        self._note(self.format(record))


@contextlib.contextmanager
def log_shown(note: Callable[[str], None], *, wanted: bool) -> Iterator[None]:
    """Show the library's log by ``note`` while the block runs, if it is ``wanted``."""
    if not wanted:
        yield
        return
    handler, level = NoteHandler(note), LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)
