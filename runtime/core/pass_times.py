"""Seconds of a model's passes by their rows, as planned and as measured of late; no clock and no model."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.padding import paid_seconds
from edgedraft.runtime.core.plan import DecodingPlan

_REMEMBERED = 15
_ENOUGH = 3
_SHORTEST = 1e-9


class PassTimes:
    """Seconds of one model's pass by its rows: medians of recent measurements, the plan's shape for the rest.

    Passes of one row and of several are kept apart: a plan that is wrong about rows says nothing about a plain step.
    """

    def __init__(self, planned_seconds: Sequence[float]) -> None:
        require(len(planned_seconds) >= 1, "pass times: expected the seconds of a one-row pass at least", got=0)
        self._planned = tuple(planned_seconds)
        self._seen: dict[int, deque[float]] = {}
        self._one_row: deque[float] = deque(maxlen=_REMEMBERED)
        self._more_rows: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def plain_passes(self) -> int:
        """Return how many one-row passes are remembered."""
        return len(self._one_row)

    @property
    def measured(self) -> bool:
        """Return whether any pass was measured."""
        return bool(self._seen)

    def seconds(self, rows: int) -> float:
        """Return the expected seconds of a pass over ``rows`` tokens."""
        own = self._seen.get(rows, ())
        if len(own) >= _ENOUGH:
            return max(median_low(own), _SHORTEST)
        near, far = (self._one_row, self._more_rows) if rows == 1 else (self._more_rows, self._one_row)
        ratios = near or far
        return max(self._plan(rows) * (median_low(ratios) if ratios else 1.0), _SHORTEST)

    def record(self, rows: int, seconds: float) -> None:
        """Record one measured pass."""
        self._seen.setdefault(rows, deque(maxlen=_REMEMBERED)).append(seconds)
        (self._one_row if rows == 1 else self._more_rows).append(seconds / self._plan(rows))

    def _plan(self, rows: int) -> float:
        """Return the plan's seconds; more rows than it knows follow its last step."""
        known = self._planned
        if rows <= len(known):
            return known[rows - 1]
        step = known[-1] - known[-2] if len(known) > 1 else known[0]
        return known[-1] + (rows - len(known)) * step


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairPassTimes:
    """Pass times of target and drafter, which last from answer to answer, and the acceptance rate to begin with."""

    target: PassTimes
    drafter: PassTimes
    acceptance_rate: float

    @classmethod
    def planned(cls, plan: DecodingPlan) -> "PairPassTimes":
        """Return what ``plan`` expects."""
        return cls(
            target=PassTimes(paid_seconds(plan.target_pass_seconds)),
            drafter=PassTimes(plan.drafter_pass_seconds),
            acceptance_rate=plan.predicted_acceptance_rate,
        )
