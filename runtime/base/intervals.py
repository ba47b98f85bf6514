"""Interval: a number with its uncertainty."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgedraft.runtime.base.records import require

QUARTILES = 0.5
"""The level of an interval from the lower to the upper quartile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A number and the range ``low``..``high`` that contains the true one with probability ``level``.

    A median with its quartiles is an interval of level `QUARTILES`.
    """

    value: float
    low: float
    high: float
    level: float

    def __post_init__(self) -> None:
        require(self.low <= self.high, "interval: low must be at most high", got=(self.low, self.high))
        require(0 < self.level < 1, "interval: level must lie between 0 and 1", got=self.level)

    def text(self, digits: int, unit: str = "") -> str:
        """Return the number and its range for people, such as ``1.25× [1.19–1.29]``."""
        return f"{self.value:.{digits}f}{unit} [{self.low:.{digits}f}–{self.high:.{digits}f}]"

    def json_form(self) -> dict[str, float]:
        """Return the interval as ``--json`` prints it."""
        return {"median" if self.level == QUARTILES else "value": self.value, "low": self.low, "high": self.high}

    @staticmethod
    def from_json_form(data: Mapping[str, object]) -> Mapping[str, object]:
        """Return the fields that ``data``, the `json_form` of a median with its quartiles, stands for."""
        if "median" not in data:
            return data
        return {"value" if key == "median" else key: value for key, value in data.items()} | {"level": QUARTILES}
