"""The pictures of a calibration: coverage and block efficiency by draft vocabulary size."""

from edgedraft.exporter.pages.charts import Banded, curve
from edgedraft.exporter.pages.html import PageFigure
from edgedraft.exporter.planning.views import Curves


def calibrate_figures(drawn: Curves, draft_length: int) -> tuple[PageFigure, ...]:
    """Return the curves of coverage and of block efficiency by size, with their intervals."""
    covered = Banded(
        sizes=drawn.sizes, values=drawn.coverage, lows=drawn.coverage_low, highs=drawn.coverage_high, percent=True
    )
    taken = Banded(
        sizes=drawn.sizes,
        values=drawn.block_efficiency,
        lows=drawn.block_efficiency_low,
        highs=drawn.block_efficiency_high,
    )
    return (
        PageFigure(
            caption="Coverage of held-out tokens by draft vocabulary size, with the 95 % interval",
            draw=lambda width: curve(covered, width),
        ),
        PageFigure(
            caption=f"Tokens per target pass (τ) at draft length {draft_length}, with the 95 % interval",
            draw=lambda width: curve(taken, width),
        ),
    )
