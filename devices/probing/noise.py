"""Judge how far measured times can be trusted: by their spread, and by their drift while they are measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.devices.profile import Probe
from edgedraft.runtime.core.statistics import median_interval

MOST_NOISE = 0.10
"""Largest quartile width over the median of a quiet machine: half of all passes lie within about 5 % of the median."""
MOST_SPREAD = 0.35
"""Largest one of a busy machine whose medians count: beyond it the quartiles themselves are those of other programs."""
MOST_ERROR = 0.05
"""Largest standard error of a median: a plan gains tens of percent or it is not worth its trouble."""
_ERROR_OVER_WIDTH = math.sqrt(math.pi / 2) / (2 * 0.6744897501960817)
"""A median's standard error is √(π/2) σ/√n, and the quartiles of a normal distribution lie 0.674 σ from its median."""
MOST_DRIFT = 0.10
"""Largest change of the median from the first third of the rounds to the last: what more rounds cannot average out."""
LEAST_ROUNDS = 5
"""Fewer leave no quartiles to speak of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """``noise`` is the median over cases of (third − first quartile) / median, ``drift`` the cases' median change."""

    noise: float
    drift: float
    rounds: int

    @property
    def error(self) -> float:
        """Return the relative standard error of a median of so many rounds that spread like this."""
        return median_error(self.noise, self.rounds)

    @property
    def trusted(self) -> bool:
        """Return whether all are within bounds; how far the times spread widens the intervals of what they predict."""
        quiet = self.noise <= MOST_SPREAD and self.error <= MOST_ERROR
        return quiet and abs(self.drift) <= MOST_DRIFT and self.rounds >= LEAST_ROUNDS


def median_error(noise: float, rounds: int) -> float:
    """Return the standard error of a median, relative to it, of ``rounds`` normal times of quartile width ``noise``."""
    return _ERROR_OVER_WIDTH * noise / math.sqrt(rounds)


def noise_of(cases: Sequence[Sequence[float]]) -> Noise:
    """Judge cases by their times in the order they were taken."""
    around = [median_interval(times) for times in cases]
    return Noise(
        noise=float(np.median([(each.high - each.low) / each.value for each in around])),
        drift=float(np.median([_drift(times) for times in cases])),
        rounds=min(map(len, cases)),
    )


def _drift(times: Sequence[float]) -> float:
    """Median of the last third over that of the first, less 1; up is slower."""
    third = max(len(times) // 3, 1)
    return float(np.median(times[-third:]) / np.median(times[:third])) - 1


def verdict(probe: Probe) -> str:
    """Return one sentence that says whether the times can be trusted."""
    facts = f"passes spread by {probe.noise:.0%}, drifted by {probe.drift:+.0%} over {probe.rounds} rounds"
    error = median_error(probe.noise, probe.rounds)
    if probe.trusted and probe.noise <= MOST_NOISE:
        return f"The machine was quiet enough to trust: {facts}."
    if probe.trusted:
        return f"The machine was busy, but the medians are known within {error:.1%}: {facts}. Intervals are wider."
    reasons = [
        *([f"a spread above {MOST_SPREAD:.0%}"] if probe.noise > MOST_SPREAD else []),
        *([f"medians known within {error:.0%} only"] if error > MOST_ERROR and probe.noise <= MOST_SPREAD else []),
        *([f"a drift above {MOST_DRIFT:.0%}"] if abs(probe.drift) > MOST_DRIFT else []),
        *([f"fewer than {LEAST_ROUNDS} rounds"] if probe.rounds < LEAST_ROUNDS else []),
    ]
    return f"Do not trust these figures ({' and '.join(reasons)}): {facts}. Close other programs and probe again."
