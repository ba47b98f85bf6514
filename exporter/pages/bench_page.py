"""The pictures of a bench: every way's speed beside the target alone."""

from edgedraft.exporter.pages.charts import Bar, bars
from edgedraft.exporter.pages.html import PageFigure
from edgedraft.exporter.pipeline.bench import Measurement
from edgedraft.runtime.bench import BenchReport


def bench_figures(measurement: Measurement) -> tuple[PageFigure, ...]:
    """Return the picture of all prompts, then one of each category."""
    every = {"Speed, median over the prompts; the line goes from quartile to quartile": measurement.report}
    by_category = {f"Speed, {name}": part for name, part in measurement.categories.items()}
    return tuple(_figure(caption, report) for caption, report in {**every, **by_category}.items())


def _figure(caption: str, report: BenchReport) -> PageFigure:
    rows = [
        Bar(
            label=name,
            value=way.tokens_per_second.value,
            low=way.tokens_per_second.low,
            high=way.tokens_per_second.high,
            shown=f"{way.tokens_per_second.value:.1f} tokens/s, {way.speed_up.value:.2f}×",
            marked=name == report.speed_base,
        )
        for name, way in report.ways.items()
    ]
    return PageFigure(caption=caption, draw=lambda width: bars(rows, width))
