"""VerificationCost: what a pass over several rows costs against one, by class, for devices that nobody measured."""

import functools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgedraft.devices.latency import NORMAL_80
from edgedraft.runtime.base.records import from_plain, require

SHIPPED = Path(__file__).parent / "shipped" / "verification.toml"
ANY = "any"


@dataclass(frozen=True, kw_only=True, slots=True)
class VerificationCost:
    """The slope s of v(m) = 1 + s (m − 1): between ``low`` and ``high`` in 80 % of cases, its logarithm normal."""

    provider: str
    hardware: str
    precision: str
    low: float
    high: float
    source: str

    def __post_init__(self) -> None:
        rule = f"verification cost of {self.precision} on {self.provider} ({self.hardware}): expected 0 < low <= high"
        require(0 < self.low <= self.high, rule, got=(self.low, self.high))
        require(bool(self.source), "source: expected where the slope comes from")

    @property
    def slope(self) -> float:
        """The geometric mean of low and high."""
        return math.sqrt(self.low * self.high)

    @property
    def sigma(self) -> float:
        """Standard deviation of log s."""
        return math.log(self.high / self.low) / (2 * NORMAL_80)

    def fits(self, provider: str, hardware: str | None, precision: str) -> bool:
        """Tell whether this cost is for the class; ``any`` is for every hardware or precision."""
        same = self.hardware in (ANY, hardware) and self.precision in (ANY, precision)
        return self.provider == provider and same


@dataclass(frozen=True, kw_only=True, slots=True)
class VerificationTable:
    """Costs, the first that fits counts, and the bytes that a weight takes by precision."""

    cost: tuple[VerificationCost, ...]
    bytes_per_weight: Mapping[str, float]

    def of(self, provider: str, hardware: str | None, precision: str) -> VerificationCost:
        """Return the first cost that fits."""
        found = [cost for cost in self.cost if cost.fits(provider, hardware, precision)]
        require(len(found) > 0, f"verification cost: none for {precision} on {provider} ({hardware})")
        return found[0]


def read_verification(path: Path) -> VerificationTable:
    """Return the table in ``path``."""
    return from_plain(VerificationTable, tomllib.loads(path.read_text(encoding="utf-8")), path.name)


@functools.cache
def shipped_verification() -> VerificationTable:
    """Return the table that comes with the package."""
    return read_verification(SHIPPED)
