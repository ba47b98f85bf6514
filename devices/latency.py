"""LatencyModel: seconds of a pass from the bytes it reads and its rows, fitted to measured steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.devices.steps import StepTime
from edgedraft.runtime.records import require


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyModel:
    """``seconds(bytes, rows) = (overhead + bytes / bandwidth) · v(rows)``.

    ``row_factors[i]`` is the verification cost v at ``rows[i]`` rows, v(1) = 1; between them v is interpolated.
    ``residual`` is the largest relative error on the one-row steps it was fitted to.
    """

    overhead_seconds: float
    seconds_per_byte: float
    rows: tuple[int, ...]
    row_factors: tuple[float, ...]
    residual: float

    def seconds(self, model_bytes: float, rows: int) -> float:
        """Predicted seconds of one pass; more rows than were measured follow the last slope."""
        return (self.overhead_seconds + model_bytes * self.seconds_per_byte) * self.verification_cost(rows)

    def verification_cost(self, rows: int) -> float:
        """v(rows): a pass over ``rows`` tokens in units of a pass over one."""
        if rows <= self.rows[-1] or len(self.rows) == 1:
            return float(np.interp(rows, self.rows, self.row_factors))
        slope = (self.row_factors[-1] - self.row_factors[-2]) / (self.rows[-1] - self.rows[-2])
        return self.row_factors[-1] + slope * (rows - self.rows[-1])


def fit_latency(steps: Sequence[StepTime]) -> LatencyModel:
    """Fit one role's steps. With a single model size the overhead cannot be told apart and is taken as none."""
    ones = [step for step in steps if step.rows == 1]
    require(len(ones) > 0, "latency model: expected a one-row step", got=[step.rows for step in steps])
    overhead, per_byte = _fit_line([step.weight_bytes for step in ones], [step.seconds for step in ones])
    predicted = [overhead + step.weight_bytes * per_byte for step in ones]
    residual = max(abs(guess / step.seconds - 1) for guess, step in zip(predicted, ones, strict=True))
    rows = sorted({step.rows for step in steps})
    return LatencyModel(
        overhead_seconds=overhead,
        seconds_per_byte=per_byte,
        rows=tuple(rows),
        row_factors=tuple(_row_factor(steps, count) for count in rows),
        residual=residual,
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
