"""Answers from any OpenAI-compatible server, several at once; what a failing server has given is never lost."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from threading import Thread
from typing import Any, TypeVar

from edgedraft.calibration.answers.completions import AnswerSpec, Way, answer_ids, request_body
from edgedraft.calibration.answers.retries import PassingError, Pause, RefusedError, retried
from edgedraft.calibration.answers.sampling import Question, SampledAnswer
from edgedraft.calibration.answers.server import Endpoint, Server
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.codec import TextCodec

Result = TypeVar("Result")
Run = Callable[[Coroutine[Any, Any, Result]], Result]

_GO_ON = "run the same command again to go on"
_KEY = "give a key that may use this model"
_REMEDIES = {401: _KEY, 403: _KEY, 404: "give an address that ends in /v1 and a model that is served there"}


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointAnswering:
    """An `Answering` by a server, with the target's own tokenizer and template.

    At most ``endpoint.concurrency`` requests are out and nothing else is held, whatever the number of questions. When
    a question fails for good no new one is sent; those that are out are yielded before the error is raised. It holds no
    connection, so that workers can be sent it.
    """

    endpoint: Endpoint
    codec: TextCodec
    spec: AnswerSpec
    pause: Pause = field(default_factory=Pause)

    def __call__(self, questions: Sequence[Question]) -> Generator[SampledAnswer, None, None]:
        """Yield answers as they come; `EdgedraftError` after the last one that a failing server gave."""
        if not questions:
            return
        with _own_loop() as run:
            asking = _Asking(self, questions)
            try:
                run(asking.open())
                while answers := run(asking.finished()):
                    yield from answers
            finally:
                run(asking.close())


class _Asking:
    """One run against one server: the requests that are out, the way that the server takes, the first failure."""

    def __init__(self, job: EndpointAnswering, questions: Sequence[Question]) -> None:
        self._job = job
        self._waiting = iter(questions)
        self._total = len(questions)
        self._done = 0
        self._running: dict[asyncio.Task[SampledAnswer], Question] = {}
        self._failure: tuple[Question, BaseException] | None = None
        self._way: Way | None = None
        self._model = ""
        self._server = Server(job.endpoint)

    async def open(self) -> None:
        """Find out which model answers."""
        where = f"{self._job.endpoint.base}/models"
        try:
            self._model = await self._retried(self._server.model_name)
        except PassingError as error:
            raise EdgedraftError(f"{where}: no answer", got=error, remedy="start the server or mend the url") from error
        except RefusedError as error:
            remedy = _REMEDIES.get(error.status, "mend the url")
            raise EdgedraftError(f"{where}: refused", got=error, remedy=remedy) from error

    async def finished(self) -> list[SampledAnswer]:
        """Return the next answers, one at least, while new questions take their places; none when all are answered."""
        self._send()
        while self._running:
            tasks, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            answers = [answer for task in tasks for answer in self._collect(task)]
            self._send()
            if answers:
                return answers
        if self._failure:
            raise self._error(*self._failure)
        return []

    async def close(self) -> None:
        """Give up what is still out."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._server.close()

    def _send(self) -> None:
        if self._failure is None:
            for question in islice(self._waiting, self._job.endpoint.concurrency - len(self._running)):
                self._running[asyncio.create_task(self._ask(question))] = question

    def _collect(self, task: asyncio.Task[SampledAnswer]) -> list[SampledAnswer]:
        question = self._running.pop(task)
        error = task.exception()
        if error is not None:
            self._failure = self._failure or (question, error)
            return []
        self._done += 1
        return [task.result()]

    async def _ask(self, question: Question) -> SampledAnswer:
        """Put a question in the way that the server is known to take, else in the best that it does take."""
        way = self._way or Way.IDS
        while True:
            try:
                token_ids = await self._retried(partial(self._attempt, way, question))
                break
            except RefusedError as error:
                lower = way.after(error.status)
                if lower is None or way is self._way:
                    raise
                way = lower
        self._way = self._way or way
        return SampledAnswer(prompt_id=question.prompt.id, prompt_ids=question.prompt_ids, token_ids=token_ids)

    async def _attempt(self, way: Way, question: Question) -> tuple[int, ...]:
        codec, spec = self._job.codec, self._job.spec
        body = request_body(way, question, codec, spec, self._model)
        return answer_ids(await self._server.post(way.path, body), question, codec, spec)

    async def _retried(self, attempt: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Once a question has failed for good, no other is tried again."""
        return await retried(attempt, lambda: 0 if self._failure else self._job.endpoint.retries, self._job.pause)

    def _error(self, question: Question, error: BaseException) -> BaseException:
        so_far = f"{self._job.endpoint.base}: {self._done} of {self._total} prompts answered, then prompt"
        if isinstance(error, PassingError):
            made = EdgedraftError(f"{so_far} {question.prompt.id} failed", got=error, remedy=_GO_ON)
        elif isinstance(error, RefusedError):
            remedy = f"{_REMEDIES.get(error.status, 'mend or leave out the prompt')}, then {_GO_ON}"
            made = EdgedraftError(f"{so_far} {question.prompt.id} was refused", got=error, remedy=remedy)
        else:
            return error
        made.__cause__ = error
        return made


@contextlib.contextmanager
def _own_loop() -> Iterator[Run[Any]]:
    """Return a function that runs a coroutine to its end on an event loop in a thread of its own.

    Its own, because the caller may be inside a loop already (a notebook), and because requests go on while the caller
    writes down what it was given. An interrupt of the caller ends the wait at once.
    """
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="edgedraft-endpoint", daemon=True)
    thread.start()

    def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        finally:
            future.cancel()

    try:
        yield run
    finally:
        run(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
