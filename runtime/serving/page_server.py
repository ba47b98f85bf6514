"""The page server: answers what its site lists to those who know the token. The only file that knows the web server."""

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError
from edgedraft.runtime.serving.guard import HEADERS, below_token
from edgedraft.runtime.serving.posting import MAX_POST_BYTES, body_of, parsed
from edgedraft.runtime.serving.site import Site, SiteFile, Taker

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

_FAREWELL_SECONDS = 3
"""How long a download may go on after the server was told to end."""
_LONGEST_LINE = 500
_READING, _POSTING = "GET, HEAD", "POST"


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What a server serves below which token, and the PEM file with its key and certificate; None speaks plain HTTP."""

    site: Site
    token: str
    certificate: Path | None = None


class PageServer:
    """Serves an `Offer` on a listening socket, which it closes at the end."""

    def __init__(self, offer: Offer, listener: socket.socket) -> None:
        self._listener, self._server = listener, _server(offer)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def run(self) -> None:
        """Answer until `stop`, or until Ctrl-C, which is raised again once all answers have ended."""
        with self._listener:
            self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """End from any thread; answers that were begun are given a few seconds."""
        self._server.should_exit = True


class _Answers:
    """The application: one request, one answer. It reads the path alone, never a header that says where it is."""

    def __init__(self, offer: Offer) -> None:
        from starlette import responses

        self._site, self._token, self._responses = offer.site, offer.token, responses
        self._taking = asyncio.Lock()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        from starlette.requests import ClientDisconnect, Request

        try:
            response = await self._answer(scope["path"], Request(scope, receive))
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, path: str, request: "Request") -> "Response":
        inside = below_token(path, self._token)
        if inside is None:
            return self._said(403, "open the whole address that edgedraft printed")
        known = inside in self._site.files or inside in self._site.texts
        taker = self._site.takers.get(inside)
        if not known and taker is None:
            return self._said(404, "there is no such file")
        if request.method == _POSTING and taker is not None:
            return await self._taken(taker, request)
        if request.method not in _READING.split(", ") or not known:
            return self._said(405, "not in this way", {"Allow": _READING if known else _POSTING})
        if inside in self._site.texts:
            return self._text(self._site.texts[inside])
        return self._file(self._site.files[inside], request)

    def _text(self, text: bytes) -> "Response":
        headers = {"Cache-Control": "no-store"}
        return self._responses.Response(text, headers=headers, media_type="application/json")

    def _file(self, file: SiteFile, request: "Request") -> "Response":
        """The file or the ranges of it that were asked for; nothing where the browser has it already."""
        if not file.is_there:
            return self._said(404, "the file was changed after edgedraft started: start it again")
        etag = f'"{file.sha256}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache" if file.kept else "no-store"}
        if etag in request.headers.get("if-none-match", ""):
            return self._responses.Response(status_code=304, headers=headers)
        return self._responses.FileResponse(file.path.resolve(), headers=headers, media_type=file.media_type)

    async def _taken(self, taker: Taker, request: "Request") -> "Response":
        """One post after the other, away from the loop that answers."""
        from starlette.concurrency import run_in_threadpool

        body = await body_of(request.stream(), request.headers.get("content-length"))
        if body is None:
            return self._said(413, f"expected at most {MAX_POST_BYTES:,} bytes")
        try:
            async with self._taking:
                await run_in_threadpool(lambda: taker(parsed(body)))
        except EdgedraftError as error:
            return self._said(400, " ".join(str(error).split())[:_LONGEST_LINE])
        return self._responses.Response(status_code=204)

    def _said(self, status: int, line: str, headers: dict[str, str] | None = None) -> "Response":
        return self._responses.PlainTextResponse(f"{line}\n", status, {"Cache-Control": "no-store", **(headers or {})})


def _server(offer: Offer) -> "uvicorn.Server":
    """Nothing is logged, since addresses hold the token, and no header of a proxy is believed."""
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtraError(error.name or "uvicorn", "serve") from error

    config = uvicorn.Config(
        _Answers(offer),
        http=_protocol(),
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=list(HEADERS),
        timeout_graceful_shutdown=_FAREWELL_SECONDS,
        ssl_certfile=offer.certificate,
    )
    return uvicorn.Server(config)


def _protocol() -> Any:
    """HTTP whose answer to what is not HTTP has the headers of every other answer."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Guarded(H11Protocol):
        def send_400_response(self, msg: str) -> None:
            lines = ["HTTP/1.1 400 Bad Request", *(f"{name}: {value}" for name, value in HEADERS)]
            lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(msg)}", "Connection: close"]
            self.transport.write("\r\n".join([*lines, "", msg]).encode("ascii", "replace"))
            self.transport.close()

    return Guarded
