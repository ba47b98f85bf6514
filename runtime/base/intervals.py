"""Interval: a number and how sure it is."""

from dataclasses import dataclass

from edgedraft.runtime.base.records import require


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """``value``, and the range ``low``..``high`` that holds the truth with probability ``level``.

    A median with its quartiles is an interval of level 0.5.
    """

    value: float
    low: float
    high: float
    level: float

    def __post_init__(self) -> None:
        require(self.low <= self.high, "interval: low must be at most high", got=(self.low, self.high))
        require(0 < self.level < 1, "interval: level must lie between 0 and 1", got=self.level)
