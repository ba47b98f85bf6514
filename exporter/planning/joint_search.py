"""The joint search over setup, draft vocabulary size and draft length by TPE, and how near it comes to the scan.

Scanning is exact and takes less than a second where replays are exact; the search is for spaces that cannot be scanned
(replays of drawn answers at every size) and shows what a tuner that knows nothing of the problem would reach.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgedraft.exporter.graph.head import ROW_TILE, round_to_tile
from edgedraft.exporter.planning.options import Candidate, Limits
from edgedraft.exporter.planning.search import SearchSettings, pareto_search, tpe_maximise
from edgedraft.exporter.planning.search_space import MAXIMISE, MINIMISE, Choice, Point, Space, Trial, Whole
from edgedraft.exporter.planning.weighing import predicted_seconds
from edgedraft.runtime.base.arrays import Float64Array
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import to_plain


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A point of the space with what it predicts."""

    setup: str
    draft_vocab_size: int
    draft_length: int
    tokens_per_second: float
    memory_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JointSearch:
    """The best point that the search found, None where no trial kept to the limits; and those that trade speed for
    memory so that no other is better in both.
    """

    trials: int
    best: Found | None
    front: tuple[Found, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SearchSpace:
    """What is searched: every candidate, whole tiles of its vocabulary within the limits, draft lengths.

    ``coverage`` is that of every size, (vocab,).
    """

    candidates: tuple[Candidate, ...]
    coverage: Float64Array
    draft_lengths: tuple[int, ...]
    limits: Limits

    @property
    def dimensions(self) -> Space:
        """As the search knows them; sizes in tiles, by their order of magnitude."""
        tiles = -(-len(self.coverage) // ROW_TILE)
        return {
            "candidate": Choice(values=tuple(range(len(self.candidates)))),
            "tiles": Whole(low=1, high=tiles, log=True),
            "draft_length": Whole(low=self.draft_lengths[0], high=self.draft_lengths[-1]),
        }

    def found(self, point: Point) -> Found | None:
        """What a point predicts; None where a limit forbids it."""
        candidate = self.candidates[int(point["candidate"])]
        size = round_to_tile(min(int(point["tiles"]) * ROW_TILE, len(self.coverage)), len(self.coverage))
        length, memory = int(point["draft_length"]), candidate.memory_bytes(size)
        budget = self.limits.memory_bytes
        if self.coverage[size - 1] < self.limits.min_coverage or (budget is not None and memory > budget):
            return None
        outcome = candidate.replayed(size, length)
        seconds = float(predicted_seconds(outcome, size, length, candidate.latency.costs).sum())
        return Found(
            setup=str(candidate.setup),
            draft_vocab_size=size,
            draft_length=length,
            tokens_per_second=float(outcome.tokens.sum()) / seconds,
            memory_bytes=memory,
        )


def search_jointly(space: SearchSpace, settings: SearchSettings, progress: Progress = silent) -> JointSearch:
    """Search for the highest speed, then for the best speeds by memory; a storage holds both studies."""
    named = replace(settings, study_name=f"{settings.study_name} {_digest(space)}")

    def speed(point: Point) -> float | None:
        found = space.found(point)
        return None if found is None else found.tokens_per_second

    def speed_and_memory(point: Point) -> Sequence[float] | None:
        found = space.found(point)
        return None if found is None else (found.tokens_per_second, float(found.memory_bytes))

    searched = tpe_maximise(speed, space.dimensions, named, progress)
    trading = replace(named, study_name=f"{named.study_name} by memory")
    traded = pareto_search(speed_and_memory, space.dimensions, (MAXIMISE, MINIMISE), trading, progress)
    return JointSearch(
        trials=len(searched.trials),
        best=_found(space, searched.best),
        front=tuple(found for trial in traded.front if (found := _found(space, trial)) is not None),
    )


def _found(space: SearchSpace, trial: Trial | None) -> Found | None:
    return None if trial is None else space.found(trial.point)


def _digest(space: SearchSpace) -> str:
    """Names what is searched, so that a storage never mixes two problems: costs, setups, limits and coverage."""
    lengths = space.draft_lengths
    facts = [
        [str(each.setup), [each.latency.costs.target(length + 1) for length in lengths], each.memory_bytes(ROW_TILE)]
        for each in space.candidates
    ]
    told = json.dumps([facts, lengths, to_plain(space.limits), float(space.coverage.sum())])
    return hashlib.sha256(told.encode()).hexdigest()[:12]
