"""Accept connections: make room for each, open it, and never let a lack of descriptors stop the server."""

import asyncio
import contextlib
import socket
import ssl

from edgedraft.runtime.serving.front.connections import Connection, Connections, HttpFactory

BACKLOG = 2048
"""Connections that the system holds until they are accepted."""

_PAUSE_SECONDS = 0.05
_SWEEP_SECONDS = 0.5
_SHARE_AT_ONCE = 8
"""After an eighth of a client's connections all others are served: a request must be read before newer connections
take its place."""


class Acceptor:
    """Accepts the connections of a listening socket; ``http`` returns the protocol that answers on a connection."""

    def __init__(
        self,
        connections: Connections,
        http: HttpFactory,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._connections, self._http, self._tls = connections, http, tls

    async def accept(self, listener: socket.socket) -> None:
        """Accept until the task is cancelled."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        listener.listen(BACKLOG)
        accepts, at_once = 0, max(1, self._connections.limits.per_client // _SHARE_AT_ONCE)
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError:  # no descriptor is left, or the client has gone already
                self._connections.free_one()
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if not self._connections.make_room(address[0]):
                accepted.close()
            else:
                self._start(accepted, address[0])
            # An accept that needs no waiting does not yield: a flood would stop everything else.
            accepts += 1
            if accepts % at_once == 0:
                await asyncio.sleep(0)

    async def sweep(self) -> None:
        """Drop late clients, until the task is cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._connections.sweep()

    def _start(self, accepted: socket.socket, client: str) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(client, loop.time, self._http)
        opening = loop.create_task(self._open(accepted, connection))
        connection.cancel = opening.cancel
        self._connections.keep(connection)

        def opened(task: "asyncio.Task[None]") -> None:
            if not connection.opened:
                self._connections.forget(connection)
                accepted.close()

        opening.add_done_callback(opened)

    async def _open(self, accepted: socket.socket, connection: Connection) -> None:
        """Make the connection's transport, after the TLS handshake where there is one."""
        loop = asyncio.get_running_loop()
        seconds = self._connections.limits.head_seconds if self._tls else None
        with contextlib.suppress(OSError):  # a failed handshake is an `ssl.SSLError`, which is one
            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )
