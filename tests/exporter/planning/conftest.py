"""What planning's tests share: answers accepted or not by size, and candidates with made-up latencies."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edgedraft.devices.latency import StepModel
from edgedraft.exporter.planning.replay import AcceptanceWindows, replay
from edgedraft.exporter.planning.scan import ReplayedAnswers, scan
from edgedraft.exporter.planning.scoring import Candidate, PairLatency, Setup

SIZES = (64, 128, 256)
LENGTHS = (1, 2, 3, 4)
INT4 = Setup(target_precision="int4", drafter_precision="int4", threads=2)


def linear_model(milliseconds: float, slope: float, **sigmas: float) -> StepModel:
    """One row takes so many ms and a ns a byte; each further row costs ``slope`` of one."""
    return StepModel(
        overhead_seconds=milliseconds / 1e3,
        seconds_per_byte=1e-9,
        rows=(1, 17),
        row_factors=(1.0, 1 + 16 * slope),
        **sigmas,
    )


@pytest.fixture(scope="session")
def linear() -> Callable[..., StepModel]:
    """Makes step models; see `linear_model`."""
    return linear_model


@pytest.fixture(scope="session")
def windows_of() -> Callable[[Sequence[Sequence[int]]], AcceptanceWindows]:
    """Answers whose positions are accepted from the given size on; 0 is never."""

    def make(answers: Sequence[Sequence[int]]) -> AcceptanceWindows:
        sizes = np.array([size for answer in answers for size in answer], dtype=np.int64)
        return AcceptanceWindows(
            low=np.maximum(sizes - 1, 0),
            high=np.where(sizes > 0, 10**9, 0),
            offsets=np.cumsum([0, *map(len, answers)]),
            cut_share=0.0,
        )

    return make


@pytest.fixture(scope="session")
def replayed_answers(windows_of) -> Callable[..., ReplayedAnswers]:
    """Replays of small answers; ``covered`` is the coverage of each of ``sizes``, all of it by default."""

    def make(
        answers: Sequence[Sequence[int]],
        covered: Sequence[float] | None = None,
        *,
        sizes: Sequence[int] = SIZES,
        lengths: Sequence[int] = LENGTHS,
    ) -> ReplayedAnswers:
        windows, vocab_size = windows_of(answers), sizes[-1]
        coverage = np.zeros(vocab_size)
        coverage[np.array(sizes) - 1] = 1.0 if covered is None else covered
        return ReplayedAnswers(
            order=np.arange(vocab_size),
            coverage=coverage,
            scan=scan(windows, sizes, lengths),
            replay=lambda size, length: replay(windows, size, length),
        )

    return make


@pytest.fixture(scope="session")
def make_candidate() -> Callable[..., Candidate]:
    """A candidate; a pass of its drafter reads a thousand bytes a draft token, and so much memory it takes."""

    def make(*, target: StepModel, drafter: StepModel, setup: Setup = INT4, memory: int = 10**9) -> Candidate:
        return Candidate(
            setup=setup,
            latency=PairLatency(target=target, drafter=drafter, target_bytes=0, drafter_bytes=lambda size: 1000 * size),
            memory_bytes=lambda size: memory + 1000 * size,
        )

    return make
