"""A joint search over setup, draft vocabulary size and draft length by TPE, to compare with the scan.

Scanning is exact and takes less than a second where replays are exact. The search is for spaces that cannot be scanned
(replays of drawn answers at every size), and shows what a tuner that knows nothing of the problem would reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgedraft.exporter.graph.head import ROW_TILE, round_to_tile
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS
from edgedraft.exporter.planning.scoring import ScoredOptions, predicted_seconds
from edgedraft.exporter.planning.search import (
    MAXIMISE,
    MINIMISE,
    Choice,
    Point,
    SearchSettings,
    Space,
    Trial,
    Whole,
    pareto_search,
    tpe_maximise,
)
from edgedraft.runtime.base.kept import short_sum
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import to_plain


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchedOption:
    """A point of the space with its prediction."""

    setup: str
    draft_vocab_size: int
    draft_length: int
    tokens_per_second: float
    memory_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JointSearch:
    """The result of a search: the fastest point, and those that trade speed for memory.

    ``best`` is None where no trial kept to the limits. No other point is better than one of the ``front`` in both.
    """

    trials: int
    best: SearchedOption | None
    front: tuple[SearchedOption, ...]


def search_jointly(
    scored: ScoredOptions,
    settings: SearchSettings,
    progress: Progress = silent,
    draft_lengths: Sequence[int] = DRAFT_LENGTHS,
) -> JointSearch:
    """Search for the highest speed, then for the best speeds by memory; a storage holds both studies.

    All whole tiles of the vocabulary are searched, not only the sizes that were scored.
    """
    named = replace(settings, study_name=f"{settings.study_name} {_digest(scored, draft_lengths)}")
    space = _space(scored, draft_lengths)

    def speed(point: Point) -> float | None:
        option = predict(scored, point)
        return None if option is None else option.tokens_per_second

    def speed_and_memory(point: Point) -> Sequence[float] | None:
        option = predict(scored, point)
        return None if option is None else (option.tokens_per_second, float(option.memory_bytes))

    searched = tpe_maximise(speed, space, named, progress)
    trading = replace(named, study_name=f"{named.study_name} by memory")
    front = pareto_search(speed_and_memory, space, (MAXIMISE, MINIMISE), trading, progress)
    return JointSearch(
        trials=len(searched.trials),
        best=_option_of(scored, searched.best),
        front=tuple(option for trial in front if (option := _option_of(scored, trial)) is not None),
    )


def predict(scored: ScoredOptions, point: Point) -> SearchedOption | None:
    """Predict a point; None where a limit forbids it."""
    coverage, limits = scored.answers.coverage, scored.limits
    candidate = scored.candidates[int(point["candidate"])]
    size = round_to_tile(min(int(point["tiles"]) * ROW_TILE, len(coverage)), len(coverage))
    length, memory = int(point["draft_length"]), candidate.memory_bytes(size)
    budget = limits.memory_bytes
    if coverage[size - 1] < limits.min_coverage or (budget is not None and memory > budget):
        return None
    outcome = scored.answers.replay(size, length)
    seconds = float(predicted_seconds(outcome, size, length, candidate.latency).sum())
    return SearchedOption(
        setup=str(candidate.setup),
        draft_vocab_size=size,
        draft_length=length,
        tokens_per_second=float(outcome.tokens.sum()) / seconds,
        memory_bytes=memory,
    )


def _space(scored: ScoredOptions, draft_lengths: Sequence[int]) -> Space:
    """Describe the space to the search; sizes in tiles, by their order of magnitude."""
    # Rounded up: the last tile may be a part of one, with which the vocabulary is whole.
    tiles = -(-len(scored.answers.coverage) // ROW_TILE)
    return {
        "candidate": Choice(values=tuple(range(len(scored.candidates)))),
        "tiles": Whole(low=1, high=tiles, log=True),
        "draft_length": Whole(low=draft_lengths[0], high=draft_lengths[-1]),
    }


def _option_of(scored: ScoredOptions, trial: Trial | None) -> SearchedOption | None:
    return None if trial is None else predict(scored, trial.point)


def _digest(scored: ScoredOptions, draft_lengths: Sequence[int]) -> str:
    """Name the problem by its costs, setups, limits and coverage, so that a storage never mixes two problems."""
    setups = [
        [
            str(each.setup),
            [each.latency.target_seconds(length + 1) for length in draft_lengths],
            each.latency.target_rereads,
            each.memory_bytes(ROW_TILE),
        ]
        for each in scored.candidates
    ]
    facts = [setups, list(draft_lengths), to_plain(scored.limits), float(scored.answers.coverage.sum())]
    return short_sum(facts)
