"""Figures: opened without a screen, in one style, and saved as PNG or SVG whole or not at all."""

import contextlib
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedraft.runtime.base.errors import MissingExtraError
from edgedraft.runtime.base.outputs import require_own_file
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import replacing_file

if TYPE_CHECKING:
    from matplotlib.artist import Artist as Artist
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
    from matplotlib.typing import RcKeyType

COLORS = BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
"""Colours that colour-blind people tell apart. Source: Okabe and Ito, Color Universal Design, 2008."""

FORMATS = ("png", "svg")

_CREATOR = "edgedraft"
_MARKERS = {"png": b"Software\0edgedraft", "svg": b"<dc:title>edgedraft</dc:title>"}
_DOTS_PER_INCH = 144
_LETTERS_PER_INCH = 10.5
_MOST_TICKS = 9
_STYLE: "dict[RcKeyType, Any]" = {
    "svg.hashsalt": "edgedraft",
    "axes.formatter.useoffset": False,
    "figure.titlesize": 11,
    "legend.fontsize": 9,
}


def require_own_pictures(*paths: Path) -> None:
    """Refuse paths with files that `drawing` did not write; callers ask before long work where the names are ours."""
    for path in paths:
        require_own_file(path, "a picture of edgedraft's", _MARKERS[path.suffix[1:]])


@contextlib.contextmanager
def drawing(*paths: Path, inches: tuple[float, float]) -> "Iterator[Figure]":
    """Open an empty figure of ``inches`` (width, height), and save it to each path as its suffix says.

    Nothing is written when the block fails. The same drawing gives the same bytes: the user's own style is set aside,
    and an SVG has neither a date nor random ids.
    """
    for path in paths:
        rule = f"{path}: expected a picture's name to end with {' or '.join(f'.{kind}' for kind in FORMATS)}"
        require(path.suffix[1:] in FORMATS, rule, got=path.suffix or "no ending")
    try:
        from matplotlib import rc_context, style
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "export") from error
    with style.context("default", after_reset=True), rc_context(_STYLE):
        figure = Figure(figsize=inches, dpi=_DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        for path in paths:
            with replacing_file(path) as temporary:
                _save(figure, temporary, path.suffix[1:])


def _save(figure: "Figure", path: Path, kind: str) -> None:
    metadata = {"Date": None, "Creator": _CREATOR} if kind == "svg" else {"Software": _CREATOR}
    figure.savefig(path, format=kind, metadata=metadata)


def write_title(figure: "Figure", text: str) -> None:
    """Write a title over the whole figure, in as many lines as its width asks for."""
    width = int(_LETTERS_PER_INCH * figure.get_size_inches()[0])
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, width)]
    figure.suptitle("\n".join(lines), parse_math=False)


def size_ticks(low: int, high: int) -> list[int]:
    """Return powers of two from ``low`` to ``high``, every n-th where they are many; ``low`` where there is none."""
    powers = [2**power for power in range(high.bit_length()) if low <= 2**power <= high]
    # -(-a // b) rounds up, so that no more than _MOST_TICKS are left.
    return powers[:: -(-len(powers) // _MOST_TICKS)] if powers else [low]


def size_axis(axes: "Axes", sizes: Sequence[int]) -> None:
    """Make x a logarithmic axis of draft vocabulary sizes, wide enough for all of ``sizes``, with plain numbers."""
    low, high = min(sizes), max(sizes)
    ticks = size_ticks(low, high)
    axes.set(xscale="log", xlim=(low / 1.15, high * 1.15), xlabel="draft vocabulary size K (tokens)")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
