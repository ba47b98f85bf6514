"""Fitting a step model to measured steps."""

from collections.abc import Sequence

import numpy as np

from edgedraft.devices.latency import StepModel
from edgedraft.devices.steps import StepTime
from edgedraft.runtime.records import require


def fit_step_model(steps: Sequence[StepTime]) -> StepModel:
    """Fit one role's steps. With a single model size the overhead cannot be told apart and is taken as none."""
    ones = [step for step in steps if step.rows == 1]
    require(len(ones) > 0, "latency model: expected a one-row step", got=[step.rows for step in steps])
    overhead, per_byte = _fit_line([step.weight_bytes for step in ones], [step.seconds for step in ones])
    rows = sorted({step.rows for step in steps})
    return StepModel(
        overhead_seconds=overhead,
        seconds_per_byte=per_byte,
        rows=tuple(rows),
        row_factors=tuple(_row_factor(steps, count) for count in rows),
    )


def _fit_line(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """Overhead and seconds per byte by least squares, both kept at or above zero."""
    if len(set(sizes)) == 1:
        return 0.0, float(np.median(seconds)) / sizes[0]
    slope, overhead = np.polyfit(np.asarray(sizes, dtype=np.float64), seconds, 1)
    if slope < 0:
        return float(np.mean(seconds)), 0.0
    if overhead < 0:
        x = np.asarray(sizes, dtype=np.float64)
        return 0.0, float(x @ np.asarray(seconds) / (x @ x))
    return float(overhead), float(slope)


def _row_factor(steps: Sequence[StepTime], rows: int) -> float:
    """Median over model sizes of seconds at ``rows`` rows against one row."""
    if rows == 1:
        return 1.0
    sizes = {step.weight_bytes for step in steps if step.rows == 1}
    one = {size: _one_row_seconds(steps, size) for size in sizes}
    ratios = [step.seconds / one[step.weight_bytes] for step in steps if step.rows == rows and step.weight_bytes in one]
    require(len(ratios) > 0, f"latency model: {rows} rows were timed on a model never timed with one row")
    return float(np.median(ratios))


def _one_row_seconds(steps: Sequence[StepTime], weight_bytes: int) -> float:
    """Median over the one-row steps of one model size."""
    return float(np.median([step.seconds for step in steps if step.rows == 1 and step.weight_bytes == weight_bytes]))

