"""The command line's output: progress with an ETA on stderr, results on stdout. The only file that prints."""

import json
import sys
import time
from collections.abc import Sequence

from edgedraft.runtime.base.records import to_plain

_REDRAW_SECONDS = 0.2
_LOG_SECONDS = 15.0


class Console:
    """Prints for people, or with ``as_json`` one JSON document for machines and nothing else on stdout."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._terminal = sys.stderr.isatty()
        self._work = ""
        self._started = 0.0
        self._first_done = 0
        self._shown = 0.0

    def say(self, text: str = "") -> None:
        """Print a line of the result."""
        if not self.as_json:
            print(text, flush=True)

    def piece(self, text: str) -> None:
        """Print a piece of streamed text."""
        if not self.as_json:
            print(text, end="", flush=True)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table that reads well in a terminal and in Markdown."""
        if not self.as_json:
            print("\n".join(markdown_table(header, rows)), flush=True)

    def result(self, value: object) -> None:
        """Print the command's result as JSON, when that was asked for."""
        if self.as_json:
            print(json.dumps(to_plain(value), ensure_ascii=False, indent=2), flush=True)

    def note(self, text: str) -> None:
        """Print a line beside the result, on stderr; a `Note`."""
        self._clear()
        print(text, file=sys.stderr, flush=True)

    def progress(self, what: str, done: int, total: int) -> None:
        """Show a `Progress`: one line redrawn on a terminal, a line now and then in a log."""
        now = time.monotonic()
        if what != self._work:
            self._work, self._started, self._first_done, self._shown = what, now, done, 0.0
        due = now - self._shown >= (_REDRAW_SECONDS if self._terminal else _LOG_SECONDS)
        if not due and done != total:
            return
        self._shown = now
        text = f"{what}: {done}/{total}{self._eta(now, done, total)}"
        if self._terminal:
            print(f"\r\x1b[K{text}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _eta(self, now: float, done: int, total: int) -> str:
        """Return the time left at the pace since this work began; work that was already finished sets no pace."""
        elapsed, worked = now - self._started, done - self._first_done
        if done == total:
            return f", {_duration(elapsed)}"
        return f", about {_duration(elapsed / worked * (total - done))} left" if worked > 0 else ""

    def _clear(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table's lines with padded cells, the first column left-aligned, the others right-aligned."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    rule = [f"{'-' * max(width - 1, 2)}{'-' if i == 0 else ':'}" for i, width in enumerate(widths)]
    padded = [
        [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in (header, *rows)
    ]
    return [f"| {' | '.join(cells)} |" for cells in (padded[0], rule, *padded[1:])]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
