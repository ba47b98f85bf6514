"""The records of planning: how a pair may be loaded, what is asked of a plan, and one option with its prediction."""

from collections.abc import Callable
from dataclasses import dataclass

from edgedraft.exporter.planning.costs import PairLatency
from edgedraft.exporter.planning.replaying import Replaying
from edgedraft.exporter.planning.scan import Scan


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """How a pair is loaded: precision of each role, execution provider, threads of the shared pool."""

    target_precision: str
    drafter_precision: str
    threads: int
    provider: str = "cpu"

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        where = threads if self.provider == "cpu" else self.provider
        return f"target {self.target_precision}, drafter {self.drafter_precision}, {where}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidate:
    """A setup with all that predicts it: costs of passes, memory by draft vocabulary size, and what is accepted.

    ``scan`` holds the replays of every size and draft length to weigh, ``replayed`` makes the one of a finalist.
    """

    setup: Setup
    latency: PairLatency
    memory_bytes: Callable[[int], int]
    scan: Scan
    replayed: Replaying


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a plan must keep to: memory of models and key/value buffers, and coverage on held-out prompts."""

    memory_bytes: int | None = None
    min_coverage: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One way to speculate, with what held-out prompts and step times predict for it."""

    setup: Setup
    draft_vocab_size: int
    draft_length: int
    coverage: float
    memory_bytes: int
    block_efficiency: float
    acceptance_rate: float
    tokens_per_second: float
