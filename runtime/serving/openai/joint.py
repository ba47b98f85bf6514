"""JointTargets: the targets of all slots, whose passes are run as one where that is faster."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.core.batch import JointBatch
from edgedraft.runtime.core.model import Clock, ModelView, Pass
from edgedraft.runtime.serving.openai.turns import Turns

MOST_TOKENS = 16
"""Longer reads, pieces of prompts, are passes of their own: they gain nothing from company."""

_PROMPT, _REPEATS = 4, 5
_LEAST_GAIN = 0.05

Costs = Callable[[int], float]
"""The seconds of a pass over so many rows."""


@dataclass(kw_only=True, slots=True, eq=False)
class Reading:
    """Tokens that one slot's target is to read; what comes of it; and the slot's share of the seconds it took."""

    row: int
    token_ids: Sequence[int]
    logits: Logits | None = None
    error: BaseException | None = None
    seconds: float = 0.0


class JointTargets:
    """A `ModelFactory` of as many targets as ``batch`` has rows; they read in the turns of the answers' threads.

    ``costs`` decide which readings share a pass: rows between two that read are computed, too.
    """

    def __init__(self, batch: JointBatch, turns: Turns[Reading], costs: Costs) -> None:
        self._batch, self._turns, self._costs = batch, turns, costs
        self._opened = 0

    def new_model(self) -> "JointModel":
        """Return a model with an empty cache. Raises IndexError when all rows have one."""
        model = JointModel(self, self._batch, self._opened)
        self._opened += 1
        return model

    def read(self, row: int, token_ids: Sequence[int]) -> Pass:
        """Read as `LanguageModel.read`, in one pass with others that want to read now."""
        if len(token_ids) > MOST_TOKENS:
            # Copied, as below: the rows share one buffer, and the turn may go on before these are looked at.
            return Pass(logits=self._batch.rows[row].read(token_ids).logits.copy())
        reading = Reading(row=row, token_ids=token_ids)
        self._turns.share(reading, self._run)
        self._turns.charge(reading.seconds)
        if reading.error is not None:
            raise reading.error
        assert reading.logits is not None
        return Pass(logits=reading.logits)

    def _run(self, readings: Sequence[Reading]) -> None:
        """Run all readings; errors go to those whose pass failed."""
        by_row = {reading.row: reading for reading in readings}
        for rows in spans(sorted(by_row), self._costs):
            wanted = {row: by_row[row].token_ids for row in rows}
            for group in [wanted] if self._batch.takes(wanted) else [{row: ids} for row, ids in wanted.items()]:
                self._run_together(group, by_row)

    def _run_together(self, wanted: Mapping[int, Sequence[int]], by_row: Mapping[int, Reading]) -> None:
        started = time.perf_counter()
        try:
            scored = _read(self._batch, wanted)
        except Exception as error:
            for row in wanted:
                by_row[row].error = error
            return
        seconds = (time.perf_counter() - started) / len(wanted)
        for row in wanted:
            by_row[row].logits, by_row[row].seconds = scored[row].copy(), seconds


class JointModel(ModelView):
    """The target of one slot, a `LanguageModel`."""

    def __init__(self, targets: JointTargets, batch: JointBatch, row: int) -> None:
        super().__init__(batch.rows[row])
        self._targets, self._row = targets, row

    def read(self, token_ids: Sequence[int]) -> Pass:
        """See `LanguageModel.read`."""
        return self._targets.read(self._row, token_ids)


def spans(rows: Sequence[int], costs: Costs) -> list[list[int]]:
    """Group ascending ``rows`` into passes; a group takes in the next row where that costs less than a new pass."""
    groups: list[list[int]] = []
    for row in rows:
        if groups and costs(row + 1 - groups[-1][0]) < costs(groups[-1][-1] + 1 - groups[-1][0]) + costs(1):
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def measured_costs(batch: JointBatch, tokens: int, clock: Clock = time.perf_counter) -> Costs | None:
    """Time passes over ``tokens`` of one row and of all rows of an empty batch, and return what such passes cost.

    Returns None where one pass for all is not faster than a pass for each, or where it gives other bits.
    """
    count = len(batch.rows)
    one, every = {0: [1] * tokens}, {row: [1] * tokens for row in range(count)}
    for row in batch.rows:
        row.read(range(2, 2 + _PROMPT))
    alone, together = (_repeated(batch, wanted, clock) for wanted in (one, every))
    same = np.array_equal(alone.logits, together.logits)
    for row in batch.rows:
        row.rewind(0)
    if count < 2 or not same or together.seconds > (1 - _LEAST_GAIN) * count * alone.seconds:
        return None
    slope = (together.seconds - alone.seconds) / (count - 1)
    return lambda rows: alone.seconds + slope * (rows - 1)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _RepeatedPass:
    """The median seconds of a pass, and its first row's logits: (tokens, vocab)."""

    seconds: float
    logits: Logits


def _repeated(batch: JointBatch, wanted: Mapping[int, Sequence[int]], clock: Clock) -> _RepeatedPass:
    seconds = []
    for _ in range(_REPEATS):
        started = clock()
        logits = _read(batch, wanted)[0]
        seconds.append(clock() - started)
        for row in wanted:
            batch.rows[row].rewind(_PROMPT)
    return _RepeatedPass(seconds=statistics.median(seconds), logits=logits.copy())


def _read(batch: JointBatch, wanted: Mapping[int, Sequence[int]]) -> Mapping[int, Logits]:
    if len(wanted) > 1:
        return batch.read(wanted)
    [(row, token_ids)] = wanted.items()
    return {row: batch.rows[row].read(token_ids).logits}
