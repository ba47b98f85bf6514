"""Pacing: the clock of one answer, and what happens before each of its passes."""

from collections.abc import Callable
from dataclasses import dataclass

from edgedraft.runtime.core.model import Clock, nothing, stopped_clock


@dataclass(frozen=True, kw_only=True, slots=True)
class Pacing:
    """The clock that times an answer's passes, and a function called before each pass over its prompt and each round.

    ``before_pass`` may wait for the turn of this answer, and may raise `AnswerCancelledError`. The clock must not
    count such waiting: the adaptive policy would take it for the time of a pass.
    """

    clock: Clock = stopped_clock
    before_pass: Callable[[], None] = nothing
