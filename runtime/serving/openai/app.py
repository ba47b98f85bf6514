"""The ASGI application: addresses, access, and the way from a request to its answer. Only this file knows starlette."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError
from edgedraft.runtime.base.json_text import parsed_json
from edgedraft.runtime.core.model import AnswerCancelledError
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.serving.guard import MAX_POST_BYTES, body_of, is_json
from edgedraft.runtime.serving.openai.access import require_key, require_local_name, require_own_page
from edgedraft.runtime.serving.openai.bodies import AnswerFacts, AnswerWriter
from edgedraft.runtime.serving.openai.errors import ApiError, as_api_error, error_body
from edgedraft.runtime.serving.openai.metrics import ServerMetrics
from edgedraft.runtime.serving.openai.pool import AnswerJob, AnswerPool
from edgedraft.runtime.serving.openai.prompts import prompt_ids_of
from edgedraft.runtime.serving.openai.requests import AnswerRequest, chat_request, completion_request
from edgedraft.runtime.serving.openai.streaming import received, send_stream, to_loop
from edgedraft.runtime.text.streaming import TextPiece

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

_LOG = logging.getLogger("uvicorn.error")
_GONE, _OUR_BUG = 499, 500
_NO_STORE = {"Cache-Control": "no-store"}
_READERS: dict[str, Callable[[object], AnswerRequest]] = {
    "/chat/completions": chat_request,
    "/completions": completion_request,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """Options of the server.

    ``model`` is the model's name. ``parallel`` answers are decoded at a time, and ``queue`` more wait. ``api_key`` is
    asked of every client but for ``/health``; None asks for none. Pages of ``cors_origins`` may use the server ("*":
    all). ``local_only`` refuses requests whose Host header is not a name of this machine. ``joint`` verifies several
    answers in one pass where that is faster.
    """

    model: str
    parallel: int = 1
    queue: int = 32
    api_key: str | None = None
    cors_origins: tuple[str, ...] = ()
    local_only: bool = True
    joint: bool = True


def with_cors(app: "ASGIApp", origins: tuple[str, ...]) -> "ASGIApp":
    """Return the application with answers that pages of ``origins`` may read."""
    if not origins:
        return app
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(app, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"], max_age=3600)


class OpenAIApp:
    """One request, one answer."""

    def __init__(self, engine: Engine, pool: AnswerPool, options: ServeOptions) -> None:
        try:
            from starlette import responses
        except ImportError as error:
            raise MissingExtraError("starlette", "serve") from error

        self._engine, self._pool, self._options, self._responses = engine, pool, options, responses
        self.metrics, self._started = ServerMetrics(), int(time.time())

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        from starlette.requests import ClientDisconnect, Request

        request = Request(scope, receive)
        try:
            response = await self._answer(request, send)
        except ClientDisconnect:
            return
        except EdgedraftError as error:
            response = self._refused(as_api_error(error))
        except Exception as error:
            _LOG.error("a request failed", exc_info=error)
            response = self._refused(ApiError("the server failed: its log says more", status=_OUR_BUG))
        if response is not None:
            await response(scope, receive, send)

    async def _answer(self, request: "Request", send: "Send") -> "Response | None":
        """Return the response; None if it was sent already, or the client has gone."""
        path = request.url.path.removeprefix("/v1")
        if path in _READERS and request.method == "POST":
            return await self._counted(request, send, path)
        if request.method not in ("GET", "HEAD"):
            known = path in _READERS or self._page(path) is not None
            rule = "this address is not used in this way" if known else "there is no such address"
            raise ApiError(rule, got=f"{request.method} {request.url.path}"[:200], status=405 if known else 404)
        if path == "/health":
            return self._json({"status": "ok"})
        self._admit(request)
        page = self._page(path)
        if page is None:
            status = 405 if path in _READERS else 404
            raise ApiError("there is nothing to read at this address", got=request.url.path[:200], status=status)
        return page()

    def _admit(self, request: "Request") -> None:
        """Raise `ApiError` unless this client may ask."""
        require_own_page(request.headers, self._options.cors_origins)
        if self._options.local_only and self._options.api_key is None:
            require_local_name(request.headers)
        require_key(request.headers, self._options.api_key)

    def _page(self, path: str) -> "Callable[[], Response] | None":
        """Return the function that answers a GET."""
        model = self._options.model
        pages: dict[str, Callable[[], Response]] = {
            "/models": lambda: self._json({"object": "list", "data": [self._model()]}),
            f"/models/{model}": lambda: self._json(self._model()),
            "/metrics": lambda: self._responses.PlainTextResponse(
                self.metrics.text(self._pool.load), 200, _NO_STORE, "text/plain; version=0.0.4"
            ),
        }
        return pages.get(path)

    def _model(self) -> dict[str, Any]:
        manifest = self._engine.bundle.manifest
        facts = {
            "context_length": self._engine.settings.context_length,
            "slots": self._pool.parallel,
            "target": manifest.target.name,
            "drafter": manifest.drafter.name,
            "exactness": self._engine.exactness.label,
        }
        model = {"id": self._options.model, "object": "model", "created": self._started, "owned_by": "edgedraft"}
        return {**model, "edgedraft": facts}

    async def _counted(self, request: "Request", send: "Send", path: str) -> "Response | None":
        """Answer a post, and count it by its status."""
        from starlette.requests import ClientDisconnect

        status = _OUR_BUG
        try:
            self._admit(request)
            response = await self._posted(request, send, _READERS[path])
            status = 200
            return response
        except AnswerCancelledError:
            status = _GONE
            return None
        except ClientDisconnect:
            status = _GONE
            raise
        except EdgedraftError as error:
            status = as_api_error(error).status
            raise
        finally:
            self.metrics.count(status)

    async def _posted(
        self, request: "Request", send: "Send", read: Callable[[object], AnswerRequest]
    ) -> "Response | None":
        asked = read(await self._body(request))
        if asked.model not in (None, self._options.model):
            rule, known = f"model: this server has {self._options.model}", str(asked.model)[:100]
            raise ApiError(rule, got=known, status=404, param="model", code="model_not_found")
        with self._pool.place() as hand_in:
            prompt_ids = await asyncio.to_thread(prompt_ids_of, self._engine, asked)
            pieces: asyncio.Queue[TextPiece | BaseException] = asyncio.Queue()
            loop = asyncio.get_running_loop()
            job = AnswerJob(
                prompt_ids=prompt_ids,
                request=asked,
                emit=lambda piece: to_loop(loop, pieces, piece),
            )
            hand_in(job)
        watching = asyncio.create_task(self._watch(job, request))
        try:
            return await self._written(asked, received(pieces), send)
        finally:
            watching.cancel()
            self._pool.cancel(job)

    async def _body(self, request: "Request") -> Any:
        body = await body_of(request.stream(), request.headers.get("content-length"))
        if body is None:
            raise ApiError(f"expected at most {MAX_POST_BYTES:,} bytes", status=413)
        if not is_json(request.headers.get("content-type")):
            raise ApiError("expected application/json", status=415)
        return parsed_json(body, "the body")

    async def _watch(self, job: AnswerJob, request: "Request") -> None:
        """Cancel the answer when its client goes away."""
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self._pool.cancel(job)

    async def _written(self, asked: AnswerRequest, pieces: AsyncIterator[TextPiece], send: "Send") -> "Response | None":
        """Return the whole answer, or send it piece by piece."""
        prefix = "chatcmpl" if asked.is_chat else "cmpl"
        facts = AnswerFacts(id=f"{prefix}-{uuid.uuid4().hex}", created=int(time.time()), model=self._options.model)
        ends = self._engine.bundle.manifest.end_token_ids
        writer = AnswerWriter(facts, asked, self._engine.codec, ends)
        if not asked.stream:
            whole = [piece async for piece in pieces]
            assert whole[-1].usage is not None, "the last piece carries its usage"
            self.metrics.add(whole[-1].usage)
            return self._json(writer.whole(whole))
        await send_stream(writer, pieces, send, self.metrics.add)
        return None

    def _refused(self, error: ApiError) -> "Response":
        headers = dict(_NO_STORE)
        if error.status == 429:
            headers["Retry-After"] = str(self._pool.seconds_to_wait)
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if error.status in (401, 403, 413):
            headers["Connection"] = "close"  # ends what else this client sends, which nobody reads
        return self._responses.JSONResponse(error_body(error), error.status, headers)

    def _json(self, body: Any) -> "Response":
        return self._responses.JSONResponse(body, headers=_NO_STORE)
