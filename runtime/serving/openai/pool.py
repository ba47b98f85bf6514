"""AnswerPool: slots that decode, and a bounded queue before them. It knows threads; the event loop only gets pieces."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.model import AnswerCancelledError
from edgedraft.runtime.core.pacing import Pacing
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.serving.openai.errors import ApiError
from edgedraft.runtime.serving.openai.joint import JointTargets, Reading, measured_costs
from edgedraft.runtime.serving.openai.requests import AnswerRequest
from edgedraft.runtime.serving.openai.turns import Turns
from edgedraft.runtime.text.streaming import TextPiece

_CLOSING_SECONDS = 10.0
_LONGEST_WAIT, _FADING = 60, 0.8

Emit = Callable[[TextPiece | BaseException], None]
"""Takes the pieces of an answer, the last of which has a finish reason, or the error that ended it; from any thread."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AnswerJob:
    """An answer to be decoded; what comes of it goes to ``emit``."""

    prompt_ids: Sequence[int]
    request: AnswerRequest
    emit: Emit
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """The numbers of answers that are decoded and that wait, those included whose prompt is just being encoded."""

    running: int
    waiting: int


class AnswerPool:
    """Decodes up to ``parallel`` answers at a time; ``queue`` more may wait.

    With ``joint`` their targets share passes where this is possible and measures faster; else, and in `shares_passes`
    False, answers take turns pass by pass.
    """

    def __init__(self, engine: Engine, parallel: int, queue: int, *, joint: bool = True) -> None:
        self._engine, self._parallel, self._queue = engine, parallel, queue
        engine.slots.keep(parallel)
        self._turns: Turns[Reading] = Turns()
        self.shares_passes = joint and self._share_passes()
        self._changed = threading.Condition()
        self._waiting: deque[AnswerJob] = deque()
        self._running: set[AnswerJob] = set()
        self._encoding = 0
        self._seconds = 1.0
        self._closed = False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(parallel)]
        for thread in self._threads:
            thread.start()

    @property
    def load(self) -> Load:
        """Return the load of this moment."""
        with self._changed:
            return Load(running=len(self._running), waiting=len(self._waiting) + self._encoding)

    @property
    def parallel(self) -> int:
        """Return how many answers are decoded at a time."""
        return self._parallel

    @property
    def seconds_to_wait(self) -> int:
        """Return the seconds after which a client that was refused may try again."""
        waiting = self.load.waiting + 1
        return int(min(max(self._seconds * waiting / self._parallel, 1), _LONGEST_WAIT))

    @contextlib.contextmanager
    def place(self) -> Iterator[Callable[[AnswerJob], None]]:
        """Reserve a place for one answer, and yield the function that hands it in.

        Raises `ApiError` where all places are taken.
        """
        with self._changed:
            taken = len(self._running) + len(self._waiting) + self._encoding
            if taken >= self._parallel + self._queue:
                rule = f"all {self._parallel} slots and {self._queue} places of the queue are taken"
                raise ApiError(rule, remedy="try again later", status=429, code="rate_limit_exceeded")
            self._encoding += 1
        handed_in = False

        def hand_in(job: AnswerJob) -> None:
            nonlocal handed_in
            handed_in = True
            with self._changed:
                self._encoding -= 1
                self._waiting.append(job)
                self._changed.notify()

        try:
            yield hand_in
        finally:
            if not handed_in:
                with self._changed:
                    self._encoding -= 1

    def cancel(self, job: AnswerJob) -> None:
        """End an answer before its next pass, or take it out of the queue."""
        job.cancelled.set()
        with self._changed, contextlib.suppress(ValueError):
            self._waiting.remove(job)
            job.emit(AnswerCancelledError())

    def close(self) -> None:
        """End every answer, and the threads."""
        with self._changed:
            self._closed = True
            jobs = [*self._waiting, *self._running]
            self._changed.notify_all()
        for job in jobs:
            self.cancel(job)
        for thread in self._threads:
            thread.join(_CLOSING_SECONDS)

    def _share_passes(self) -> bool:
        batch = self._engine.target_batch(self._parallel) if self._parallel > 1 else None
        costs = None if batch is None else measured_costs(batch, self._engine.plan.draft_length + 1)
        if batch is None or costs is None:
            return False
        self._engine.slots.open_targets_with(JointTargets(batch, self._turns, costs))
        return True

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                last: TextPiece | BaseException = self._decoded(job)
            except AnswerCancelledError as error:
                last = error
            except EdgedraftError as error:  # the request was checked before: it is not the client's fault
                last = ApiError(error.rule, got=error.got, remedy=error.remedy, status=500)
            except Exception as error:
                last = error
            with self._changed:
                self._running.discard(job)
            # The place is free before the client knows that its answer is complete: it may ask again at once.
            job.emit(last)

    def _next_job(self) -> AnswerJob | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            job = self._waiting.popleft()
            self._running.add(job)
            return job

    def _decoded(self, job: AnswerJob) -> TextPiece:
        """Decode an answer, emit its pieces but the last, and return that one."""
        request, turns = job.request, self._turns

        def before_pass() -> None:
            if not job.cancelled.is_set():
                turns.pass_on()
            if job.cancelled.is_set():
                raise AnswerCancelledError

        pieces = self._engine.pieces(
            job.prompt_ids,
            max_new_tokens=request.max_tokens or self._engine.settings.context_length,
            stop=request.stop,
            options=request.options,
            pacing=Pacing(clock=turns.clock, before_pass=before_pass),
        )
        # Closed within the turn: its slot is free before another answer asks for one.
        with turns.taken(), contextlib.closing(pieces):
            for piece in pieces:
                if piece.usage is not None and job.cancelled.is_set():
                    break
                if piece.usage is not None:
                    self._seconds = _FADING * self._seconds + (1 - _FADING) * piece.usage.seconds
                    return piece
                job.emit(piece)
        raise AnswerCancelledError
