"""The front itself: an ASGI application served by uvicorn, on connections that `Acceptor` opens.

uvicorn reads and writes HTTP and runs the application. It neither bounds connections nor drops slow clients, so it gets
no socket of its own.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedraft.runtime.base.errors import MissingExtraError
from edgedraft.runtime.serving.front.accepting import Acceptor
from edgedraft.runtime.serving.front.connections import Connection, Connections
from edgedraft.runtime.serving.front.limits import ClientLimits, of_this_process
from edgedraft.runtime.serving.front.log_lines import bounded_log

if TYPE_CHECKING:
    import uvicorn
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, Scope

_FAREWELL_SECONDS = 3
"""Time that answers have to finish after the server is asked to stop."""
_CONNECTION = "edgedraft.connection"


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontOptions:
    """Headers of every response, the PEM file with key and certificate for HTTPS (None: HTTP), and the limits."""

    headers: Sequence[tuple[str, str]] = ()
    certificate: Path | None = None
    limits: ClientLimits = field(default_factory=ClientLimits)


class Front:
    """Serves an ASGI application on a listening socket, which it closes at the end."""

    def __init__(self, app: Any, listener: socket.socket, options: FrontOptions) -> None:
        self._listener = listener
        self._server = _server(_Watched(app), options, self._close)
        self._work: list[asyncio.Task[None]] = []
        self._connections = Connections(of_this_process(options.limits), time.monotonic)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the listening socket."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def run(self) -> None:
        """Answer until `stop` or Ctrl-C, which is raised again once all answers have ended."""
        with self._listener, bounded_log():
            asyncio.run(self._serve())

    def stop(self) -> None:
        """Stop serving, from any thread; answers that have begun get a few seconds to finish."""
        self._server.should_exit = True

    async def _serve(self) -> None:
        acceptor = Acceptor(self._connections, self._protocol, self._server.config.ssl)
        self._work = [asyncio.create_task(work) for work in (acceptor.accept(self._listener), acceptor.sweep())]
        try:
            await self._server.serve(sockets=[])
        finally:
            await self._close()

    async def _close(self) -> None:
        """Accept no more connections; uvicorn ends those on which something has come."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        self._listener.close()
        self._connections.drop_unused()

    def _protocol(self, connection: Connection) -> asyncio.Protocol:
        """Return uvicorn's protocol for one connection; requests find the connection in their state."""
        config = self._server.config
        make: Any = config.http_protocol_class
        made: asyncio.Protocol = make(
            config=config, server_state=self._server.server_state, app_state={_CONNECTION: connection}
        )
        return made


class _Watched:
    """An ASGI application that tells the connection when a request begins, has its whole body, and ends."""

    def __init__(self, app: "ASGI3Application") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "ASGIReceiveCallable", send: "ASGISendCallable") -> None:
        assert scope["type"] == "http"
        connection: Connection = scope["state"].pop(_CONNECTION)

        async def watched() -> "ASGIReceiveEvent":
            message = await receive()
            if not message.get("more_body", False):
                connection.body_ended()
            return message

        connection.begin(body=_has_body(scope["headers"]))
        try:
            await self._app(scope, watched, send)
        finally:
            connection.end()


def _has_body(headers: Any) -> bool:
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)


def _server(app: _Watched, options: FrontOptions, on_end: Callable[[], Awaitable[None]]) -> "uvicorn.Server":
    """Set up uvicorn without logs of requests, since URLs may hold tokens, and without trust in headers of a proxy.

    ``on_end`` is awaited when it begins to end.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError(error.name or "uvicorn", "serve") from error

    config = uvicorn.Config(
        app,
        http=_protocol_class(options.headers),
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=list(options.headers),
        timeout_graceful_shutdown=_FAREWELL_SECONDS,
        ssl_certfile=options.certificate,
    )
    config.load()

    class Ending(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await on_end()
            await super().shutdown(sockets)

    return Ending(config)


def _protocol_class(headers: Sequence[tuple[str, str]]) -> Any:
    """Return a uvicorn protocol whose answer to what is not HTTP has the usual headers too."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Guarded(H11Protocol):
        def send_400_response(self, msg: str) -> None:
            lines = ["HTTP/1.1 400 Bad Request", *(f"{name}: {value}" for name, value in headers)]
            lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(msg)}", "Connection: close"]
            self.transport.write("\r\n".join([*lines, "", msg]).encode("ascii", "replace"))
            self.transport.close()

    return Guarded
