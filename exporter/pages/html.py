"""Parts of a report: texts, tables and figures, each escaped, and the page around them."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgedraft.exporter.pages.style import NARROW, STYLE, WIDE
from edgedraft.runtime.base.errors import printable
from edgedraft.runtime.base.printed import Printed, PrintedTable, PrintedText

GENERATOR = '<meta name="generator" content="edgedraft">'
"""Marks a page as one of edgedraft's, near its beginning."""

# No script, no other file, no address: whatever a name or a token in a page might say.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, kw_only=True, slots=True)
class PageFigure:
    """A picture: its ``caption``, and a function that draws it as SVG at a width in pixels."""

    caption: str
    draw: Callable[[int], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The contents of a page: its ``title``, its ``figures``, and all that was ``printed``."""

    title: str
    figures: Sequence[PageFigure]
    printed: Sequence[Printed]


def escaped(text: str) -> str:
    """Return ``text`` for HTML and SVG, with control characters and signs that reorder text written out."""
    return html.escape(printable(text.encode("utf-8", "replace").decode("utf-8"), kept="\n\t"))


def page(report: Report) -> str:
    """Return the whole page: the title, the pictures, then what was printed."""
    title = escaped(report.title)
    parts = [*(_figure(each) for each in report.figures), *(_block(each) for each in report.printed)]
    head = [
        *("<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">', GENERATOR),
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        *(f"<style>{STYLE}</style>", "</head>", "<body>", "<main>", f"<h1>{title}</h1>"),
    ]
    foot = ["<footer>Written by edgedraft.</footer>", "</main>", "</body>", "</html>"]
    return "\n".join([*head, *parts, *foot]) + "\n"


def _figure(figure: PageFigure) -> str:
    """Return the picture at both widths, of which the style sheet shows one."""
    drawn = [f'<div class="{name}">{figure.draw(width)}</div>' for name, width in (("narrow", NARROW), ("wide", WIDE))]
    return "\n".join(["<figure>", f"<figcaption>{escaped(figure.caption)}</figcaption>", *drawn, "</figure>"])


def _block(block: Printed) -> str:
    return _text(block) if isinstance(block, PrintedText) else _table(block)


def _text(block: PrintedText) -> str:
    opening = '<p class="note">' if block.note else "<p>"
    return f"{opening}{escaped(block.text)}</p>" if block.text.strip() else ""


def _table(table: PrintedTable) -> str:
    """Return the table in a box of its own, which scrolls where the page is narrower; it can be reached by keyboard."""
    label = escaped(f"table: {', '.join(name for name in table.header if name)}")
    kinds = [' class="words"' if _has_words(table, column) else "" for column in range(len(table.header))]
    rows = [
        "".join(f"<td{kind}>{escaped(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in table.rows
    ]
    header = "".join(
        f'<th scope="col"{kind}>{escaped(name)}</th>' for kind, name in zip(kinds, table.header, strict=True)
    )
    return "\n".join(
        [
            f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">',
            f"<table><thead><tr>{header}</tr></thead>",
            *("<tbody>", *(f"<tr>{row}</tr>" for row in rows), "</tbody></table>", "</div>"),
        ]
    )


def _has_words(table: PrintedTable, column: int) -> bool:
    """Tell whether a column is the first or holds more than numbers: it is aligned to the left."""
    cells = [row[column] for row in table.rows if row[column]]
    return column == 0 or any(not (cell[0].isdigit() or cell[0] in "-–") for cell in cells)
