"""Judge how far measured times can be trusted: by their spread, and by their drift while they are measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.devices.profile import Probe
from edgedraft.runtime.core.statistics import median_interval

MOST_NOISE = 0.10
"""Largest quartile width over the median that is trusted: a plan gains tens of percent or it is not worth its trouble,
and half of all passes then lie within about 5 % of what was measured."""
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
    def trusted(self) -> bool:
        """Tell whether all three are within bounds."""
        return self.noise <= MOST_NOISE and abs(self.drift) <= MOST_DRIFT and self.rounds >= LEAST_ROUNDS


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
    """One sentence for people."""
    facts = f"passes spread by {probe.noise:.0%}, drifted by {probe.drift:+.0%} over {probe.rounds} rounds"
    if probe.trusted:
        return f"The machine was quiet enough to trust: {facts}."
    reasons = [
        *([f"a spread above {MOST_NOISE:.0%}"] if probe.noise > MOST_NOISE else []),
        *([f"a drift above {MOST_DRIFT:.0%}"] if abs(probe.drift) > MOST_DRIFT else []),
        *([f"fewer than {LEAST_ROUNDS} rounds"] if probe.rounds < LEAST_ROUNDS else []),
    ]
    return f"Do not trust these figures ({' and '.join(reasons)}): {facts}. Close other programs and probe again."
