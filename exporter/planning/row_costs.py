"""The cost of rows from the conversation: what their product adds to a drafter's pass, and to memory."""

from dataclasses import replace

from edgedraft.exporter.planning.scan import ReplayFunction
from edgedraft.exporter.planning.scoring import Candidate, Option, ScoredOptions, predicted_seconds

SUGGESTED_ROWS = 256
"""Rows that a plan without any is compared with."""

LEAST_LIST = 256
"""The smallest list that is planned with rows: they stand in for much of what it lacks."""

_WORTH_SAYING = 1.01
_FLOAT_BYTES = 4
"""Rows that are in use are kept unpacked."""


def rows_bytes(limit: int, width: int) -> int:
    """Return the bytes of ``limit`` rows of ``width`` numbers, which every pass of the drafter reads."""
    return limit * width * _FLOAT_BYTES


def with_rows(candidate: Candidate, limit: int, width: int) -> Candidate:
    """Return a candidate whose drafter also scores ``limit`` rows of ``width`` numbers.

    All rows are counted although a text seldom fills them. They are read as fast as the drafter's own weights.
    """
    nbytes, latency, memory_bytes = rows_bytes(limit, width), candidate.latency, candidate.memory_bytes
    return replace(
        candidate,
        latency=replace(latency, rows_seconds=nbytes * latency.drafter.seconds_per_byte),
        memory_bytes=lambda size: memory_bytes(size) + nbytes,
    )


def rows_advice(scored: ScoredOptions, best: Option, replayed: ReplayFunction, width: int) -> str | None:
    """Write what `SUGGESTED_ROWS`, ``replayed`` at the best option, would add to its speed; None if little."""
    latency = with_rows(scored.candidate_of(best), SUGGESTED_ROWS, width).latency
    outcome = replayed(best.draft_vocab_size, best.draft_length)
    seconds = float(predicted_seconds(outcome, best.draft_vocab_size, best.draft_length, latency).sum())
    speed = float(outcome.tokens.sum()) / seconds
    if speed < _WORTH_SAYING * best.tokens_per_second:
        return None
    return (
        f"{SUGGESTED_ROWS} rows from the conversation would make τ {outcome.block_efficiency:.2f} of "
        f"{best.block_efficiency:.2f}, {speed:.1f} tokens/s: plan with --conversation-rows {SUGGESTED_ROWS}"
    )
