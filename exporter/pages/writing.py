"""Reports as files: refused before the work where something else would be lost, and written whole or not at all."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from edgedraft.exporter.pages.html import GENERATOR, PageFigure, Report, page
from edgedraft.runtime.base.outputs import require_own_file
from edgedraft.runtime.base.printed import Printed
from edgedraft.runtime.base.progress import Note
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import replacing_file

Recording = Callable[[], AbstractContextManager[list[Printed]]]
"""Opens a block whose list gets all that is printed in it."""

_ENDINGS = (".html", ".htm")


@contextlib.contextmanager
def reporting(path: Path | None, title: str, recording: Recording, note: Note) -> Iterator[list[PageFigure]]:
    """Write the page of what the block prints and of the pictures that it puts into the list; nothing without a path.

    A path that cannot be written, or that holds another file, is refused before the block begins.
    """
    if path is None:
        yield []
        return
    require_report_file(path)
    figures: list[PageFigure] = []
    with recording() as printed:
        yield figures
    write_report(path, Report(title=title, figures=figures, printed=printed))
    note(f"Report: {path}")


def require_report_file(path: Path) -> None:
    """Refuse a name that is no page's, and a file that is not a report of edgedraft's; callers ask before long work."""
    rule = f"{path}: expected a report's name to end with .html"
    require(path.suffix.lower() in _ENDINGS, rule, got=path.suffix or "no ending", remedy="add .html")
    require_own_file(path, "a report of edgedraft's", GENERATOR.encode())


def write_report(path: Path, report: Report) -> None:
    """Write the page; the same result gives the same bytes."""
    with replacing_file(path) as temporary:
        temporary.write_text(page(report), encoding="utf-8", newline="\n")
