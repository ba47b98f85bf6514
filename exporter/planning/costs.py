"""What passes of a loaded pair cost, in seconds: known to the planner as two functions, without any device."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgedraft.devices.latency import StepModel
from edgedraft.runtime.core.padding import paid_seconds

DRAFT_LENGTHS = tuple(range(1, 17))


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCosts:
    """Seconds of a pass: ``drafter(K, rows)``, and ``target(rows)`` as the runtime pads it."""

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
        paid = paid_seconds(self.target_pass_seconds)
        return StepCosts(
            drafter=lambda size, rows: self.drafter.seconds(self.drafter_bytes(size), rows),
            target=lambda rows: paid[rows - 1],
        )

    @property
    def target_pass_seconds(self) -> tuple[float, ...]:
        """Seconds of a target's pass over i + 1 rows as it is timed, unpadded, up to the longest round."""
        return tuple(self.target.seconds(self.target_bytes, rows) for rows in range(1, DRAFT_LENGTHS[-1] + 2))

    def redrawn(self, draw: Callable[[StepModel], StepModel]) -> "PairLatency":
        """The same pair with step models that ``draw`` puts in their place."""
        return replace(self, target=draw(self.target), drafter=draw(self.drafter))
