"""What a search looks through and what it found: spaces, trials, and the trials that no other one beats. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.runtime.base.records import require

MAXIMISE, MINIMISE = "maximize", "minimize"

Value = int | float | str | bool
Point = Mapping[str, Value]


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """A whole number in ``low``..``high``, both included; with ``log`` its order of magnitude is what is drawn."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        require(self.low <= self.high, f"search: expected an upper end of {self.low} or more", got=self.high)
        require(not self.log or self.low >= 1, "search: an order of magnitude begins at 1 or more", got=self.low)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One of several values that have no order."""

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        require(len(self.values) > 0, "search: expected at least one value to choose from", got=0)


Space = Mapping[str, Whole | Choice]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A point that was tried; ``values``, one a goal, are None where it was infeasible."""

    number: int
    point: Point
    values: tuple[float, ...] | None


def key_of(point: Point) -> tuple[tuple[str, Value], ...]:
    """What equal points share, whatever the order of their names."""
    return tuple(sorted(point.items()))


def pareto_front(trials: Sequence[Trial], goals: Sequence[str]) -> tuple[Trial, ...]:
    """The feasible trials that no other one beats, each point once, the best by the first goal first."""
    once = {key_of(trial.point): trial for trial in reversed(trials) if trial.values is not None}
    found = sorted(once.values(), key=lambda trial: trial.number)
    if not found:
        return ()
    signs = np.array([1.0 if goal == MAXIMISE else -1.0 for goal in goals])
    values = np.array([trial.values for trial in found]) * signs
    beaten = [bool(((values >= row).all(axis=1) & (values > row).any(axis=1)).any()) for row in values]
    left = [place for place, lost in enumerate(beaten) if not lost]
    return tuple(found[place] for place in sorted(left, key=lambda place: -values[place, 0]))
