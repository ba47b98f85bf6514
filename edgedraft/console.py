"""The command line's output: progress with an ETA on stderr, results on stdout. The only file that prints or asks."""

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence

from edgedraft.runtime.base.errors import EdgedraftError, printable
from edgedraft.runtime.base.printed import Printed, PrintedTable, PrintedText
from edgedraft.runtime.base.records import to_plain
from edgedraft.runtime.base.tables import markdown_table

_LAYOUT = "\n\t"
_MARK, _PLAIN = "\x1b[36m", "\x1b[0m"  # cyan is readable on light and on dark
_REDRAW_SECONDS = 0.2
_LOG_SECONDS = 15.0


class Console:
    """Prints for people, or with ``as_json`` one JSON document for machines and nothing else on stdout."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._work = ""
        self._started = 0.0
        self._first_done = 0
        self._shown = 0.0
        self._recorded: list[Printed] | None = None

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[Printed]]:
        """Yield a list that gets every line, table and note of the block, also those that ``as_json`` hides."""
        recorded = self._recorded = list[Printed]()
        try:
            yield recorded
        finally:
            self._recorded = None

    def _record(self, printed: Printed) -> None:
        if self._recorded is not None:
            self._recorded.append(printed)

    def say(self, text: str = "") -> None:
        """Print a line of the result."""
        self._record(PrintedText(text=text))
        if not self.as_json:
            _write(_cleaned(text))

    def piece(self, text: str, *, marked: bool = False) -> None:
        """Print a piece of streamed text: as it is to a file or a pipe, without control characters to a terminal.

        ``marked`` colours it; only where `shows_colours`.
        """
        if not self.as_json:
            _write(f"{_MARK}{_for_reader(text)}{_PLAIN}" if marked and text else _for_reader(text), end="")

    @property
    def interactive(self) -> bool:
        """Return whether a person types: standard input is a terminal."""
        return sys.stdin is not None and sys.stdin.isatty()

    @property
    def shows_colours(self) -> bool:
        """Return whether standard output is a terminal that knows colours, and shows text."""
        terminal = sys.stdout is not None and sys.stdout.isatty()
        return terminal and not self.as_json and os.environ.get("TERM") != "dumb"

    @contextlib.contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Show on a terminal what goes on in the block, and remove it afterwards."""
        if self._terminal:
            _tell(f"{printable(what)} …", end="")
        try:
            yield
        finally:
            self._clear()

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table that reads well in a terminal and in Markdown."""
        self._record(PrintedTable(header=header, rows=rows))
        if not self.as_json:
            _write("\n".join(printable(line) for line in markdown_table(header, rows)))

    def result(self, value: object) -> None:
        """Print the command's result as JSON, when that was asked for."""
        if self.as_json:
            escaped = "utf" not in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
            _write(_for_reader(json.dumps(to_plain(value), ensure_ascii=escaped, indent=2)))

    def note(self, text: str) -> None:
        """Print a note about the work on stderr; a `Note`."""
        self._record(PrintedText(text=text, note=True))
        self._clear()
        _tell(_cleaned(text))

    def read_line(self, prompt: str) -> str | None:
        """Ask for a line of standard input, on a terminal behind ``prompt``; None at its end.

        Bytes that are no UTF-8 are replaced.
        """
        with _naming_closed_input():
            try:
                return input(prompt)
            except EOFError:
                return None

    def progress(self, what: str, done: int, total: int) -> None:
        """Show a `Progress`: one line redrawn on a terminal, a line now and then in a log."""
        now = time.monotonic()
        if what != self._work:
            self._work, self._started, self._first_done, self._shown = what, now, done, 0.0
        due = now - self._shown >= (_REDRAW_SECONDS if self._terminal else _LOG_SECONDS)
        if not due and done != total:
            return
        self._shown = now
        text = f"{printable(what)}: {done}/{total}{self._eta(now, done, total)}"
        if self._terminal:
            _tell(f"\r\x1b[K{text}", end="\n" if done == total else "")
        else:
            _tell(text)

    def _eta(self, now: float, done: int, total: int) -> str:
        """Return the time left at the pace since this work began; work that was already finished sets no pace."""
        elapsed, worked = now - self._started, done - self._first_done
        if done == total:
            return f", {_duration(elapsed)}"
        return f", about {_duration(elapsed / worked * (total - done))} left" if worked > 0 else ""

    def _clear(self) -> None:
        if self._terminal:
            _tell("\r\x1b[K", end="")


def prepare_streams() -> None:
    """Make the standard streams replace characters that they cannot read or show, instead of failing."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def read_input() -> bytes:
    """Return all of standard input."""
    with _naming_closed_input():
        stream = getattr(sys.stdin, "buffer", None)
        return sys.stdin.read().encode("utf-8", "surrogateescape") if stream is None else bytes(stream.read())


def flush_output() -> None:
    """Flush standard output; raise `EdgedraftError` if it is closed."""
    _write("", end="")


def _cleaned(text: str) -> str:
    """Return ``text`` without control characters, and with ``?`` for what no terminal can show."""
    return printable(text.encode("utf-8", "replace").decode("utf-8"), kept=_LAYOUT)


def _for_reader(text: str) -> str:
    """Return ``text`` as it is, or what a terminal may show of it: it would obey a model's control characters."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return _cleaned(text) if terminal else text


def _write(text: str, end: str = "\n") -> None:
    try:
        print(text, end=end, flush=True)
    except (OSError, ValueError) as error:
        _discard_output()
        reason = error.strerror if isinstance(error, OSError) else error
        raise EdgedraftError("the output cannot be written", got=reason) from error


def _tell(text: str, end: str = "\n") -> None:
    """Print on stderr; ignore errors of a closed stderr."""
    with contextlib.suppress(OSError, ValueError):
        print(text, end=end, file=sys.stderr, flush=True)


def _discard_output() -> None:
    """Discard what is left for standard output: at its exit Python would try to write it again, and fail."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def _naming_closed_input() -> Iterator[None]:
    if sys.stdin is None:
        raise EdgedraftError("standard input is closed", remedy="give the text itself, or open it")
    try:
        yield
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EdgedraftError("standard input cannot be read", got=reason) from error


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
