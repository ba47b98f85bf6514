"""Small parts of pictures in SVG: the frame, texts, scales and ticks."""

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgedraft.exporter.pages.html import escaped

LETTER = 6.6
"""About the width of a letter in pixels, at the pictures' size of text."""

LINE = 17
"""The height of a line of text in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlotFrame:
    """A plot's corners in pixels: x from ``left`` to ``right``, y from ``top`` down to ``bottom``."""

    left: float
    right: float
    top: float
    bottom: float


Scale = Callable[[float], float]
"""Maps a value to a pixel."""


def svg(width: int, height: float, said: str, parts: Sequence[str]) -> str:
    """Return a picture of ``width`` by ``height`` pixels; ``said`` is its text for those who cannot see it."""
    size = f'width="{width}" height="{height:.0f}" viewBox="0 0 {width} {height:.0f}"'
    label = escaped(said)
    return f'<svg {size} role="img" aria-label="{label}">{"".join(parts)}</svg>'


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> str:
    """Return ``words`` at a point; ``anchor`` says which end of them is there."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escaped(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str, opacity: float = 1.0) -> str:
    """Return a filled rectangle."""
    at = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}"'
    return f'<rect {at} class="{kind}" fill-opacity="{opacity:g}"/>'


def path(points: Sequence[tuple[float, float]], kind: str, *, opacity: float = 1.0, closed: bool = False) -> str:
    """Return a line through ``points``, or with ``closed`` the area inside."""
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<path d="M{drawn}{"Z" if closed else ""}" class="{kind}" fill-opacity="{opacity:g}"/>'


def shortened(words: str, width: float) -> str:
    """Return ``words``, cut with an ellipsis where they are longer than ``width`` pixels."""
    most = max(int(width / LETTER), 1)
    return words if len(words) <= most else f"{words[: most - 1]}…"


def wrapped(words: str, width: float) -> list[str]:
    """Return ``words`` in lines of at most ``width`` pixels."""
    return textwrap.wrap(words, max(int(width / LETTER), 8))


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Return the scale that puts ``low`` at ``start`` and ``high`` at ``end``; half way where they are equal."""
    return lambda value: start + (end - start) * ((value - low) / (high - low) if high > low else 0.5)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """Return the scale of logarithms that puts ``low`` at ``start`` and ``high`` at ``end``."""
    scale = linear(math.log(low), math.log(high), start, end)
    return lambda value: scale(math.log(value))


def round_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return at most ``most`` round numbers, evenly spaced, from ``low`` to ``high``; ``low`` where they are equal."""
    if high <= low:
        return [low]
    magnitude = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (magnitude * factor for factor in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [number * step for number in range(first, last + 1)] or [low]
    return [low]
