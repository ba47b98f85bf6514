"""Seconds of a loaded pair's passes, predicted without a device, and the parts that a round's time consists of."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgedraft.devices.latency import StepModel
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS, Replay
from edgedraft.runtime.core.padding import paid_seconds


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairLatency:
    """Step models of both roles and the bytes that one pass of each reads; ``drafter_bytes(K)`` with K draft tokens."""

    target: StepModel
    drafter: StepModel
    target_bytes: int
    drafter_bytes: Callable[[int], int]

    def drafter_seconds(self, size: int, rows: int) -> float:
        """Return the seconds of a drafter's pass over ``rows`` tokens with a head of ``size`` tokens."""
        return self.drafter.seconds(self.drafter_bytes(size), rows)

    def target_seconds(self, rows: int) -> float:
        """Return the seconds of a target's pass that needs ``rows`` rows, padded as the runtime pads it."""
        return paid_seconds(self.target_pass_seconds)[rows - 1]

    @property
    def target_pass_seconds(self) -> tuple[float, ...]:
        """Seconds of a target's pass over i + 1 rows as it is timed, unpadded, up to the longest round."""
        # The longest round verifies all its drafts and one more row, the token that precedes them.
        return tuple(self.target.seconds(self.target_bytes, rows) for rows in range(1, DRAFT_LENGTHS[-1] + 2))

    def redrawn(self, draw: Callable[[StepModel], StepModel]) -> "PairLatency":
        """Return the same pair with each step model replaced by ``draw(model)``."""
        return replace(self, target=draw(self.target), drafter=draw(self.drafter))


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One part of a round: its name, its milliseconds, and its share of the round."""

    what: str
    milliseconds: float
    share: float


def explain(latency: PairLatency, outcome: Replay, size: int, draft_length: int) -> tuple[Term, ...]:
    """Split the time of a mean round into terms that add up to it."""
    drafter, target = latency.drafter, latency.target
    body = latency.drafter_bytes(0) * drafter.seconds_per_byte
    head = latency.drafter_bytes(size) * drafter.seconds_per_byte - body
    second_row = latency.drafter_seconds(size, 2) - latency.drafter_seconds(size, 1)
    full = float(outcome.full_rounds.sum() / outcome.rounds.sum())
    plain = latency.target_seconds(1)
    more_rows = latency.target_seconds(draft_length + 1) - plain
    seconds = {
        f"drafter's layers, {draft_length} time{'s' if draft_length > 1 else ''}": draft_length * body,
        f"drafter's head of {size:,} rows": draft_length * head,
        "drafter's overhead": draft_length * drafter.overhead_seconds,
        f"drafter's second row, after {full:.0%} of rounds": full * second_row,
        "target's weights, one row": plain - target.overhead_seconds,
        "target's overhead": target.overhead_seconds,
        f"target's {draft_length} more row{'s' if draft_length > 1 else ''}": more_rows,
    }
    whole = sum(seconds.values())
    return tuple(Term(what=what, milliseconds=1e3 * part, share=part / whole) for what, part in seconds.items())
