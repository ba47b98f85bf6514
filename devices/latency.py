"""LatencyModel: seconds of a pass from the bytes it reads, its rows, precision and provider, with their uncertainty.

``seconds(bytes, rows) = (overhead + bytes / bandwidth) · v(rows)``; v(rows) is the verification cost, v(1) = 1.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.base.kernel_names import NOT_RECORDED
from edgedraft.runtime.base.records import require

NORMAL_80 = 1.2815515655446004
"""Standard deviations on either side of the mean that hold 80 % of a normal distribution."""

_LARGEST_GROWTH = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StepModel:
    """Passes of one precision on one provider.

    ``row_factors[i]`` is v at ``rows[i]`` rows; between them v is interpolated, beyond them it follows the last slope,
    but falls no further: a fall is a provider's tiling, or noise, and does not continue to rows that were not timed.
    The sigmas are standard deviations of logarithms: ``device_sigma`` of what all passes on the device share,
    ``own_sigma`` of what this precision has alone, ``growth_sigma`` of v(rows) − 1 where that is above 0.
    ``kernels`` names those that were timed.
    """

    overhead_seconds: float
    seconds_per_byte: float
    rows: tuple[int, ...] = (1,)
    row_factors: tuple[float, ...] = (1.0,)
    device_sigma: float = 0.0
    own_sigma: float = 0.0
    growth_sigma: float = 0.0
    kernels: str = NOT_RECORDED

    def __post_init__(self) -> None:
        positive = self.overhead_seconds >= 0 and self.seconds_per_byte >= 0
        rule = "latency model: overhead and seconds per byte must be 0 or more"
        require(positive, rule, got=(self.overhead_seconds, self.seconds_per_byte))
        ascending = self.rows[:1] == (1,) and all(a < b for a, b in zip(self.rows, self.rows[1:], strict=False))
        require(ascending, "latency model: rows must begin with 1 and ascend", got=self.rows)
        paired = len(self.rows) == len(self.row_factors) and self.row_factors[0] == 1.0
        require(paired, "latency model: expected a factor for each number of rows, 1 for one row", got=self.row_factors)
        require(min(self.row_factors) > 0, "latency model: factors must be above 0", got=self.row_factors)

    def seconds(self, model_bytes: float, rows: int) -> float:
        """Return the predicted seconds of one pass over ``rows`` tokens by a model that reads ``model_bytes``."""
        return (self.overhead_seconds + model_bytes * self.seconds_per_byte) * self.verification_cost(rows)

    def estimate(self, model_bytes: float, rows: int) -> Interval:
        """Return `seconds` with its 80 % interval; the errors of scale and growth are independent."""
        value, cost = self.seconds(model_bytes, rows), self.verification_cost(rows)
        growing = max(cost - 1, 0.0) / cost * self.growth_sigma
        reach = math.exp(NORMAL_80 * math.hypot(self.device_sigma, self.own_sigma, growing))
        return Interval(value=value, low=value / reach, high=value * reach, level=0.8)

    def verification_cost(self, rows: int) -> float:
        """Return v(rows): the time of a pass over ``rows`` tokens divided by that of a pass over one."""
        if rows <= self.rows[-1] or len(self.rows) == 1:
            return float(np.interp(rows, self.rows, self.row_factors))
        slope = (self.row_factors[-1] - self.row_factors[-2]) / (self.rows[-1] - self.rows[-2])
        return self.row_factors[-1] + max(slope, 0.0) * (rows - self.rows[-1])

    def sampled(self, shared: float, rng: np.random.Generator) -> "StepModel":
        """Draw a model that might be the true one; ``shared`` is the device's own draw from a standard normal."""
        scale = math.exp(self.device_sigma * shared + self.own_sigma * rng.standard_normal())
        # Where v − 1 is next to nothing its relative spread has no bound; e^30 of nothing is still no time.
        growth = math.exp(min(self.growth_sigma * rng.standard_normal(), _LARGEST_GROWTH))
        return replace(
            self,
            overhead_seconds=self.overhead_seconds * scale,
            seconds_per_byte=self.seconds_per_byte * scale,
            row_factors=tuple(1 + (factor - 1) * growth if factor > 1 else factor for factor in self.row_factors),
        )


Kind = tuple[str, str]
"""Precision and execution provider."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LatencyModel:
    """A device's step models by precision and provider."""

    device: str
    models: Mapping[Kind, StepModel]

    def __post_init__(self) -> None:
        require(len(self.models) > 0, f"latency of {self.device}: expected one precision or more", got=0)
        object.__setattr__(self, "models", MappingProxyType(dict(self.models)))

    def of(self, precision: str, provider: str) -> StepModel:
        """Return the step model of one precision on one provider; raise an error if it is unknown."""
        known = ", ".join(f"{name} on {where}" for name, where in sorted(self.models))
        rule = f"latency of {self.device}: expected one of {known}"
        require((precision, provider) in self.models, rule, got=f"{precision} on {provider}")
        return self.models[precision, provider]

    def seconds(self, model_bytes: float, rows: int, precision: str, provider: str) -> Interval:
        """Return the predicted seconds of one pass, with their 80 % interval."""
        return self.of(precision, provider).estimate(model_bytes, rows)
