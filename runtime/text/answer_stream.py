"""AnswerStream: the pieces of one answer, for a loop, an asynchronous loop, and a thread that cancels it."""

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

from edgedraft.runtime.core.model import AnswerCancelledError
from edgedraft.runtime.text.streaming import CANCELLED, TextPiece


class Cancellation:
    """A request to end an answer, from any thread. ``happened`` is true once a pass was not made because of it."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self.happened = False

    def ask(self) -> None:
        """Ask for the end of the answer."""
        self._asked.set()

    def before(self, before_pass: Callable[[], None]) -> Callable[[], None]:
        """Return a function that calls ``before_pass``, and raises `AnswerCancelledError` if the end was asked for."""

        def check() -> None:
            if not self._asked.is_set():
                before_pass()  # it may wait, and meanwhile the end may be asked for
            if self._asked.is_set():
                self.happened = True
                raise AnswerCancelledError

        return check


class AnswerStream(Iterator[TextPiece]):
    """The pieces of one answer as they come, with ``for`` or ``async for``.

    The last piece carries ``finish_reason`` and ``usage``. An asynchronous loop decodes in another thread; a task that
    is cancelled ends the answer.
    """

    def __init__(self, pieces: Generator[TextPiece, None, None], cancellation: Cancellation) -> None:
        self._pieces = pieces
        self._cancellation = cancellation

    def cancel(self) -> None:
        """End the answer before its next pass; may be called from any thread.

        The stream still yields what was decoded, and a last piece whose ``finish_reason`` is "cancelled".
        """
        self._cancellation.ask()

    def close(self) -> None:
        """End the answer now and yield nothing more, in the thread that reads the stream."""
        self._pieces.close()

    def __iter__(self) -> "AnswerStream":
        return self

    def __next__(self) -> TextPiece:
        piece = next(self._pieces)
        cancelled = piece.finish_reason is not None and self._cancellation.happened
        return replace(piece, finish_reason=CANCELLED) if cancelled else piece

    def __aiter__(self) -> "AnswerStream":
        return self

    async def __anext__(self) -> TextPiece:
        try:
            piece = await asyncio.to_thread(next, self, None)
        except asyncio.CancelledError:
            self.cancel()
            raise
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """End the answer, from an asynchronous program."""
        self.cancel()
        await asyncio.to_thread(self.close)
