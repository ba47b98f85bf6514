"""Measuring step times: how long a model takes for a pass over so many rows, interleaved with the other models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgedraft.runtime.model import LanguageModel
from edgedraft.runtime.progress import Progress, silent
from edgedraft.runtime.records import require
from edgedraft.runtime.statistics import spread
from edgedraft.runtime.timing import Clock

TARGET, DRAFTER = "target", "drafter"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTime:
    """Median and quartiles, in seconds, of a pass over ``rows`` tokens by a model that reads ``weight_bytes``."""

    role: str
    precision: str
    weight_bytes: int
    rows: int
    seconds: float
    seconds_low: float
    seconds_high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCase:
    """One thing to time: the model under ``model``'s name, over ``rows`` tokens.

    ``after`` names the model whose pass comes before it when decoding; what that leaves in caches counts.
    """

    model: str
    role: str
    precision: str
    weight_bytes: int
    rows: int
    after: str | None = None


def measure_steps(
    models: Mapping[str, LanguageModel],
    cases: Sequence[StepCase],
    context_ids: Sequence[int],
    clock: Clock,
    repeats: int,
    progress: Progress = silent,
) -> list[StepTime]:
    """Time every case ``repeats`` times in turn (A B C A B C …), after one uncounted turn.

    Every model first reads ``context_ids``, so attention has something to look back on. A case that comes ``after``
    another model's pass has one of a single token right before it, untimed.
    """
    longest = max(case.rows for case in cases)
    require(len(context_ids) >= longest, f"step times: expected {longest} tokens of context", got=len(context_ids))
    for model in models.values():
        model.rewind(0)
        model.read(context_ids)
    seconds: list[list[float]] = [[] for _ in cases]
    for turn in range(repeats + 1):
        for case, times in zip(cases, seconds, strict=True):
            if case.after is not None:
                _one_step(models[case.after], context_ids, 1, clock)
            taken = _one_step(models[case.model], context_ids, case.rows, clock)
            if turn > 0:
                times.append(taken)
        progress("step-time turns", turn + 1, repeats + 1)
    return [_step_time(case, times) for case, times in zip(cases, seconds, strict=True)]


def _one_step(model: LanguageModel, context_ids: Sequence[int], rows: int, clock: Clock) -> float:
    model.rewind(len(context_ids))
    started = clock()
    model.read(context_ids[:rows])
    return clock() - started


def _step_time(case: StepCase, times: Sequence[float]) -> StepTime:
    around = spread(times)
    return StepTime(
        role=case.role,
        precision=case.precision,
        weight_bytes=case.weight_bytes,
        rows=case.rows,
        seconds=around.median,
        seconds_low=around.low,
        seconds_high=around.high,
    )
