"""What passes of a loaded pair cost, in seconds: known to the planner as two functions, without any device."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgedraft.devices.latency import StepModel


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCosts:
    """Seconds of a pass: ``drafter(K, rows)`` and ``target(rows)``."""

    drafter: Callable[[int, int], float]
    target: Callable[[int], float]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairLatency:
    """Step models of both roles and the bytes that a pass of each reads: ``drafter_bytes(K)`` with K draft tokens."""

    target: StepModel
    drafter: StepModel
    target_bytes: int
    drafter_bytes: Callable[[int], int]

    @property
    def costs(self) -> StepCosts:
        """The likeliest costs."""
        return StepCosts(
            drafter=lambda size, rows: self.drafter.seconds(self.drafter_bytes(size), rows),
            target=lambda rows: self.target.seconds(self.target_bytes, rows),
        )

    def redrawn(self, draw: Callable[[StepModel], StepModel]) -> "PairLatency":
        """The same pair with step models that ``draw`` puts in their place."""
        return replace(self, target=draw(self.target), drafter=draw(self.drafter))
