"""Where each millisecond of a round goes: the terms of the latency model, one line each."""

from dataclasses import dataclass

from edgedraft.exporter.planning.costs import PairLatency
from edgedraft.exporter.planning.replay import Replay


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One part of a round, in milliseconds; ``share`` is of the whole round."""

    what: str
    milliseconds: float
    share: float


def explain(latency: PairLatency, outcome: Replay, size: int, draft_length: int) -> tuple[Term, ...]:
    """The terms of a mean round; they add up to it."""
    costs, drafter, target = latency.costs, latency.drafter, latency.target
    body = latency.drafter_bytes(0) * drafter.seconds_per_byte
    head = latency.drafter_bytes(size) * drafter.seconds_per_byte - body
    catching_up = costs.drafter(size, 2) - costs.drafter(size, 1)
    full = float(outcome.full_rounds.sum() / outcome.rounds.sum())
    plain = costs.target(1)
    seconds = {
        f"drafter's layers, {draft_length} time{'s' if draft_length > 1 else ''}": draft_length * body,
        f"drafter's head of {size:,} rows": draft_length * head,
        "drafter's overhead": draft_length * drafter.overhead_seconds,
        f"drafter's second row, after {full:.0%} of rounds": full * catching_up,
        "target's weights, one row": plain - target.overhead_seconds,
        "target's overhead": target.overhead_seconds,
        f"target's {draft_length} more row{'s' if draft_length > 1 else ''}": costs.target(draft_length + 1) - plain,
    }
    whole = sum(seconds.values())
    return tuple(Term(what=what, milliseconds=1e3 * part, share=part / whole) for what, part in seconds.items())
