"""Accept connections: make room for each, open it, and never let a lack of descriptors stop the server."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

from edgedraft.runtime.serving.front.connections import Connection, Connections

BACKLOG = 1024
"""Connections that the system holds until they are accepted."""

_PAUSE_SECONDS = 0.05
_SWEEP_SECONDS = 0.5


class Acceptor:
    """Accepts the connections of a listening socket; ``http`` returns the protocol that answers on a connection."""

    def __init__(
        self,
        connections: Connections,
        http: Callable[[Connection], asyncio.Protocol],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._connections, self._http, self._tls = connections, http, tls

    async def accept(self, listener: socket.socket, ended: Callable[[], bool]) -> None:
        """Accept until ``ended`` returns True or the task is cancelled."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        listener.listen(BACKLOG)
        while not ended():
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError:  # no descriptor is left, or the client has gone already
                self._connections.free_one()
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if ended() or not self._connections.make_room(address[0]):
                accepted.close()
            else:
                self._start(accepted, address[0])
            # An accept that needs no waiting does not yield: a flood would stop everything else.
            await asyncio.sleep(0)

    async def sweep(self) -> None:
        """Drop late clients, until the task is cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._connections.sweep()

    def _start(self, accepted: socket.socket, client: str) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(client, loop.time)
        connection.serve_with(self._http(connection))
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
