"""The page server answers what its site lists, to whoever knows the token. Only this file knows starlette."""

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError
from edgedraft.runtime.base.json_text import parsed_json
from edgedraft.runtime.serving.front.server import Front, FrontOptions
from edgedraft.runtime.serving.guard import HEADERS, MAX_POST_BYTES, below_token, body_of, is_json
from edgedraft.runtime.serving.site import Site, SiteFile, Taker

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

_LONGEST_LINE = 500
_READING, _POSTING = "GET, HEAD", "POST"


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A site below a token, over HTTPS with the key and certificate of a PEM file, or over HTTP without one."""

    site: Site
    token: str
    certificate: Path | None = None


class PageServer(Front):
    """Serves an `Offer` on a listening socket, which it closes at the end."""

    def __init__(self, offer: Offer, listener: socket.socket) -> None:
        super().__init__(_Answers(offer), listener, FrontOptions(headers=HEADERS, certificate=offer.certificate))


class _Answers:
    """The ASGI application: one request, one answer.

    It trusts only the path: headers such as Host and X-Forwarded-Prefix come from the client, and are not read.
    """

    def __init__(self, offer: Offer) -> None:
        try:
            from starlette import responses
        except ImportError as error:
            raise MissingExtraError("starlette", "serve") from error

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
            # Closing ends what else this client sends, which nobody reads.
            return self._said(403, "open the whole address that edgedraft printed", {"Connection": "close"})
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
        """Answer with the file or the requested ranges of it, or with 304 where the browser has it already."""
        if not file.is_there:
            return self._said(404, "the file was changed after edgedraft started: start it again")
        etag = f'"{file.sha256}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache" if file.kept else "no-store"}
        if etag in request.headers.get("if-none-match", ""):
            return self._responses.Response(status_code=304, headers=headers)
        # FileResponse answers Range and If-Range, by the ETag: an interrupted download of weights goes on where it was.
        return self._responses.FileResponse(file.path.resolve(), headers=headers, media_type=file.media_type)

    async def _taken(self, taker: Taker, request: "Request") -> "Response":
        """Hand a post to its taker, one at a time, in a thread so that other answers go on."""
        from starlette.concurrency import run_in_threadpool

        body = await body_of(request.stream(), request.headers.get("content-length"))
        if body is None:
            return self._said(413, f"expected at most {MAX_POST_BYTES:,} bytes")
        if not is_json(request.headers.get("content-type")):
            return self._said(415, "expected application/json")
        try:
            async with self._taking:
                await run_in_threadpool(lambda: taker(parsed_json(body, "results")))
        except EdgedraftError as error:
            return self._said(400, " ".join(str(error).split())[:_LONGEST_LINE])
        return self._responses.Response(status_code=204)

    def _said(self, status: int, line: str, headers: dict[str, str] | None = None) -> "Response":
        return self._responses.PlainTextResponse(f"{line}\n", status, {"Cache-Control": "no-store", **(headers or {})})
