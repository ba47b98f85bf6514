"""Pieces of an answer on their way from a decoding thread to a client, as server-sent events."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from edgedraft.runtime.core.model import AnswerCancelledError
from edgedraft.runtime.serving.openai.bodies import AnswerWriter
from edgedraft.runtime.serving.openai.errors import ApiError, error_body
from edgedraft.runtime.text.streaming import TextPiece, Usage

_LOG = logging.getLogger("uvicorn.error")
_DONE = b"data: [DONE]\n\n"


async def send_stream(
    writer: AnswerWriter, pieces: AsyncIterator[TextPiece], send: Any, add: Callable[[Usage], None]
) -> None:
    """Send an answer as server-sent events, and hand its usage to ``add``.

    Nothing is sent before the first piece is there: until then, an error still has its own status.
    """
    piece = await anext(pieces)
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await _send(send, _events(writer.first_chunk()))
    try:
        while piece.finish_reason is None:
            await _send(send, _events(writer.chunks(piece)))
            piece = await anext(pieces)
        assert piece.usage is not None, "the last piece carries its usage"
        add(piece.usage)
        end = _events(writer.last_chunks(piece)) + _DONE
    except AnswerCancelledError:
        raise
    except Exception as error:
        _LOG.error("a stream failed", exc_info=error)
        end = _events([error_body(ApiError("the answer failed: the server's log says more", status=500))])
    await _send(send, end, more=False)


async def received(pieces: "asyncio.Queue[TextPiece | BaseException]") -> AsyncIterator[TextPiece]:
    """Yield the pieces of an answer up to the last one; raise the error that ended it."""
    while True:
        piece = await pieces.get()
        if isinstance(piece, BaseException):
            raise piece
        yield piece
        if piece.finish_reason is not None:
            return


def to_loop(
    loop: asyncio.AbstractEventLoop,
    pieces: "asyncio.Queue[TextPiece | BaseException]",
    piece: TextPiece | BaseException,
) -> None:
    """Hand a piece to the event loop, from any thread; a loop that has ended needs none."""
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(pieces.put_nowait, piece)


def _events(chunks: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n" for chunk in chunks)


async def _send(send: Any, body: bytes, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
