"""Charts of a report, as SVG: bars with intervals, and curves with bands over draft vocabulary sizes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.exporter.pages.svg import (
    LETTER,
    LINE,
    PlotFrame,
    Scale,
    box,
    linear,
    logarithmic,
    path,
    round_ticks,
    shortened,
    svg,
    text,
)
from edgedraft.exporter.planning.figures import size_ticks

_BAR, _CAP = 14, 4
_TICK_LETTERS = 9


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A bar from zero to ``value``, with a line from ``low`` to ``high`` over its end; ``shown`` is what is written."""

    label: str
    value: float
    low: float
    high: float
    shown: str
    marked: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Banded:
    """A curve over ``sizes`` and its band, one value a size."""

    sizes: Sequence[int]
    values: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]
    percent: bool = False


def bars(rows: Sequence[Bar], width: int) -> str:
    """Draw bars below each other, each under its label and its number."""
    most = max((row.high for row in rows), default=0.0)
    scale = linear(0.0, max(most, 1e-9), 0.0, width - 2.0)
    beside = all(LETTER * (len(row.label) + len(row.shown) + 2) <= width for row in rows)
    lines = 1 if beside else 2
    height = lines * LINE + _BAR + 15
    parts = [part for number, row in enumerate(rows) for part in _bar(row, number * height, lines, scale, width)]
    return svg(width, len(rows) * height, "; ".join(f"{row.label}: {row.shown}" for row in rows), parts)


def _bar(row: Bar, top: float, lines: int, scale: Scale, width: int) -> list[str]:
    """Draw one bar; its number stands beside its label, or with two ``lines`` below it."""
    upper = top + lines * LINE + 3
    middle = upper + _BAR / 2
    low, high = scale(row.low), scale(row.high)
    caps = [path([(x, middle - _CAP), (x, middle + _CAP)], "ink") for x in (low, high)]
    whisker = [path([(low, middle), (high, middle)], "ink"), *caps] if row.high > row.low else []
    return [
        text(0, top + 14, shortened(row.label, width)),
        text(width if lines == 1 else 0, upper - 6, row.shown, anchor="end" if lines == 1 else "start", kind="soft"),
        box(0, upper, width, _BAR, "track"),
        box(0, upper, scale(row.value), _BAR, "two" if row.marked else "one", 0.75),
        *whisker,
    ]


def curve(drawn: Banded, width: int, marked: int | None = None) -> str:
    """Draw a curve with its band over the sizes on a logarithmic axis, and a dashed line at the ``marked`` size."""
    height = 200 if width < 400 else 260
    frame = PlotFrame(left=46, right=width - 12, top=10, bottom=height - 40)
    known = (*drawn.sizes, *([marked] if marked else []))
    low, high = min(drawn.lows), max(drawn.highs)
    x = logarithmic(min(known), max(known), frame.left, frame.right)
    y = linear(low, high, frame.bottom, frame.top)
    band = [(x(size), y(value)) for size, value in zip(drawn.sizes, drawn.highs, strict=True)]
    back = [(x(size), y(value)) for size, value in zip(drawn.sizes, drawn.lows, strict=True)]
    middle = [(x(size), y(value)) for size, value in zip(drawn.sizes, drawn.values, strict=True)]
    dots = [f'<circle cx="{at:.1f}" cy="{up:.1f}" r="2.5" class="one"/>' for at, up in middle]
    spans = [path([one, other], "span") for one, other in zip(back, band, strict=True)]
    line = [path([(x(marked), frame.top), (x(marked), frame.bottom)], "ink dashed")] if marked else []
    said = f"a curve over {len(drawn.sizes)} draft vocabulary sizes; the table has its values"
    parts = [
        *_upright_axis(drawn, low, high, y, frame),
        *size_axis_parts(min(known), max(known), x, frame),
        *(path([*band, *reversed(back)], "one", opacity=0.2, closed=True), path(middle, "curve"), *spans, *dots, *line),
    ]
    return svg(width, height, said, parts)


def _upright_axis(drawn: Banded, low: float, high: float, y: Scale, frame: PlotFrame) -> list[str]:
    ticks = round_ticks(low, high)
    step = (ticks[1] - ticks[0] if len(ticks) > 1 else 1.0) * (100 if drawn.percent else 1)
    digits = max(0, math.ceil(-math.log10(step) - 1e-9))
    parts = []
    for tick in ticks:
        words = f"{tick:.{digits}%}" if drawn.percent else f"{tick:.{digits}f}"
        parts.append(path([(frame.left, y(tick)), (frame.right, y(tick))], "grid"))
        parts.append(text(frame.left - 6, y(tick) + 4, words, anchor="end", kind="soft"))
    return parts


def size_axis_parts(low: int, high: int, x: Scale, frame: PlotFrame) -> list[str]:
    """Draw the axis of draft vocabulary sizes below a plot, with as many numbers as its width has space for."""
    space = _TICK_LETTERS * LETTER
    ticks, last, parts = size_ticks(low, high), -space, list[str]()
    for tick in ticks:
        at = x(tick)
        parts.append(path([(at, frame.bottom), (at, frame.bottom + 4)], "grid"))
        if at - last >= space and at + space / 2 <= frame.right + 12 + space / 4:
            parts.append(text(at, frame.bottom + 17, f"{tick:,}", anchor="middle", kind="soft"))
            last = at
    middle = (frame.left + frame.right) / 2
    return [
        path([(frame.left, frame.bottom), (frame.right, frame.bottom)], "grid"),
        *parts,
        text(middle, frame.bottom + 34, "draft vocabulary size (tokens)", anchor="middle", kind="soft"),
    ]
