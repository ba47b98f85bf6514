"""Measuring step times: how long a model takes for a pass over so many rows, interleaved with the other models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgedraft.runtime.base.kernel_names import NOT_RECORDED
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.model import Clock, LanguageModel
from edgedraft.runtime.core.statistics import median_interval, trimmed_mean

TARGET, DRAFTER = "target", "drafter"
READING = "drafter, reading states"
"""The first pass of a round by a drafter that reads the target's states."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTime:
    """The `trimmed_mean` and the quartiles, in seconds, of a pass over ``rows`` tokens.

    ``weight_bytes`` are what the model reads in a pass, ``kernels`` the name of those that ran its products.
    ``conversion`` names the model among several of one role; times kept by earlier versions lack it.
    """

    role: str
    precision: str
    weight_bytes: int
    rows: int
    seconds: float
    seconds_low: float
    seconds_high: float
    kernels: str = NOT_RECORDED
    conversion: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCase:
    """A case to time: the model named ``model``, over ``rows`` tokens, whose products ``kernels`` compute.

    ``after`` names the model whose pass comes before it when decoding; what that leaves in caches counts.
    """

    model: str
    role: str
    precision: str
    weight_bytes: int
    rows: int
    after: str | None = None
    kernels: str = NOT_RECORDED
    conversion: str = ""


class StepTimer:
    """Times cases in turn (A B C A B C …), a turn whenever it is asked for.

    Every model first reads ``context_ids``, so attention has something to look back on. A case that comes ``after``
    another model's pass has one of a single token right before it, untimed.
    """

    def __init__(
        self, models: Mapping[str, LanguageModel], cases: Sequence[StepCase], context_ids: Sequence[int], clock: Clock
    ) -> None:
        longest = max(case.rows for case in cases)
        require(len(context_ids) >= longest, f"step times: expected {longest} tokens of context", got=len(context_ids))
        self._models, self._cases, self._context_ids, self._clock = models, cases, context_ids, clock
        self._seconds: list[list[float]] = [[] for _ in cases]
        for model in models.values():
            model.rewind(0)
            model.read(context_ids)

    def turn(self) -> None:
        """Time every case once."""
        for case, times in zip(self._cases, self._seconds, strict=True):
            if case.after is not None:
                _one_step(self._models[case.after], self._context_ids, 1, self._clock)
            times.append(_one_step(self._models[case.model], self._context_ids, case.rows, self._clock))

    def times(self) -> list[StepTime]:
        """Return the times since the last call, and forget them."""
        timed = [_step_time(case, times) for case, times in zip(self._cases, self._seconds, strict=True)]
        self._seconds = [[] for _ in self._cases]
        return timed


def measure_steps(
    models: Mapping[str, LanguageModel],
    cases: Sequence[StepCase],
    context_ids: Sequence[int],
    clock: Clock,
    repeats: int,
    progress: Progress = silent,
) -> list[StepTime]:
    """Time every case ``repeats`` times in turn, after one uncounted turn. See `StepTimer`."""
    timer = StepTimer(models, cases, context_ids, clock)
    for turn in range(repeats + 1):
        timer.turn()
        if turn == 0:
            timer.times()
        progress("step-time turns", turn + 1, repeats + 1)
    return timer.times()


def _one_step(model: LanguageModel, context_ids: Sequence[int], rows: int, clock: Clock) -> float:
    model.rewind(len(context_ids))
    started = clock()
    model.read(context_ids[:rows])
    return clock() - started


def _step_time(case: StepCase, times: Sequence[float]) -> StepTime:
    around = median_interval(times)
    return StepTime(
        role=case.role,
        precision=case.precision,
        weight_bytes=case.weight_bytes,
        rows=case.rows,
        seconds=trimmed_mean(times),
        seconds_low=around.low,
        seconds_high=around.high,
        kernels=case.kernels,
        conversion=case.conversion,
    )
