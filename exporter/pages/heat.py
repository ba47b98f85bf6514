"""The heat map of a plan, as SVG: predicted speed by draft vocabulary size and draft length."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.exporter.pages.charts import size_axis_parts
from edgedraft.exporter.pages.svg import LINE, PlotFrame, Scale, box, logarithmic, svg, text, wrapped
from edgedraft.exporter.planning.views import SpeedMap, cell_edges
from edgedraft.runtime.base.arrays import Float64Array

_SHADES = 5
_LEGEND_HEIGHT = 44


@dataclass(frozen=True, kw_only=True, slots=True)
class MapMark:
    """An option that a ring marks on the map, and what is written about it."""

    draft_vocab_size: int
    draft_length: int
    said: str
    dashed: bool = False


def heat_map(shown: SpeedMap, plain: float, marks: Sequence[MapMark], width: int) -> str:
    """Draw each option's predicted speed over ``plain``, the target alone's: blue where faster, orange where slower."""
    rows = len(shown.draft_lengths)
    cell = min(20.0, max(10.0, 160 / rows))
    frame = PlotFrame(left=34, right=width - 12, top=22, bottom=22 + rows * cell)
    edges = cell_edges(shown.sizes)
    x = logarithmic(float(edges[0]), float(edges[-1]), frame.left, frame.right)
    ratios = shown.tokens_per_second / plain
    deepest = max(float(abs(ratios - 1).max()), 1e-9)
    said = [line for mark in marks for line in wrapped(mark.said, width)]
    top = frame.bottom + 54 + _LEGEND_HEIGHT + 24
    parts = [
        text(0, 12, "draft length (tokens drafted a round)", kind="soft"),
        *_cells(shown, ratios, deepest, x, frame, cell),
        *_lengths(shown, frame, cell),
        *size_axis_parts(int(shown.sizes[0]), int(shown.sizes[-1]), x, frame),
        *(_ring(mark, shown, x, frame, cell) for mark in marks),
        *_legend(deepest, frame.bottom + 54, width),
        *(text(0, top + number * LINE, line) for number, line in enumerate(said)),
    ]
    words = f"predicted speeds of {ratios.size} options against the target alone"
    return svg(width, top + (len(said) - 1) * LINE + 6, words, parts)


def shade(ratio: float, deepest: float) -> int:
    """Return the shade of a speed of ``ratio`` times the target's own: -5 the slowest, 0 as fast, 5 the fastest."""
    return max(-_SHADES, min(_SHADES, round(_SHADES * (ratio - 1) / deepest)))


def _cells(shown: SpeedMap, ratios: Float64Array, deepest: float, x: Scale, frame: PlotFrame, cell: float) -> list[str]:
    """Draw the allowed options, all of one shade in one path; what the limits forbid stays empty."""
    edges, drawn = [x(float(edge)) for edge in cell_edges(shown.sizes)], dict[int, list[str]]()
    for place, allowed in enumerate(shown.allowed):
        for row, ratio in enumerate(ratios[place] if allowed else ()):
            bottom = frame.bottom - row * cell
            corner = f"M{edges[place]:.1f},{bottom:.1f}H{edges[place + 1]:.1f}v{-cell:.1f}H{edges[place]:.1f}Z"
            drawn.setdefault(shade(float(ratio), deepest), []).append(corner)
    paths = []
    for depth, corners in sorted(drawn.items()):
        kind, opacity = _look(depth)
        paths.append(f'<path d="{"".join(corners)}" class="{kind}" fill-opacity="{opacity:g}"/>')
    return paths


def _look(depth: int) -> tuple[str, float]:
    return ("two" if depth < 0 else "one"), round(0.06 + 0.84 * abs(depth) / _SHADES, 2)


def _lengths(shown: SpeedMap, frame: PlotFrame, cell: float) -> list[str]:
    every = max(1, math.ceil(14 / cell))
    labels = [(row, int(length)) for row, length in enumerate(shown.draft_lengths)]
    return [
        text(frame.left - 6, frame.bottom - (row + 0.5) * cell + 4, str(length), anchor="end", kind="soft")
        for row, length in labels[::every]
    ]


def _ring(mark: MapMark, shown: SpeedMap, x: Scale, frame: PlotFrame, cell: float) -> str:
    row = shown.draft_lengths.tolist().index(mark.draft_length)
    at, up = x(mark.draft_vocab_size), frame.bottom - (row + 0.5) * cell
    return f'<circle cx="{at:.1f}" cy="{up:.1f}" r="6" class="ink{" dashed" if mark.dashed else ""}"/>'


def _legend(deepest: float, top: float, width: int) -> list[str]:
    """Draw the shades from the slowest to the fastest, with three numbers below."""
    side = min(20.0, (width - 20) / (2 * _SHADES + 1))
    shades = range(-_SHADES, _SHADES + 1)
    boxes = [box((depth + _SHADES) * side, top, side, 12, *_look(depth)) for depth in shades]
    whole = side * len(shades)
    ends = [(0.0, max(1 - deepest, 0.0), "start"), (whole / 2, 1.0, "middle"), (whole, 1 + deepest, "end")]
    numbers = [text(at, top + 27, f"{ratio:.2f}×", anchor=anchor, kind="soft") for at, ratio, anchor in ends]
    return [*boxes, *numbers, text(0, top + 43, "speed ÷ the target alone", kind="soft")]
