"""Connections, what each client still owes, and the choice of those that are dropped."""

import asyncio
from collections.abc import Callable, Iterable
from enum import IntEnum

from edgedraft.runtime.serving.front.limits import ClientLimits

_SURELY_STALLED_SECONDS = 5.0
"""Every download pauses while the network is busy; one that pauses for longer may make room for others."""


HttpFactory = Callable[["Connection"], asyncio.Protocol]


class Owed(IntEnum):
    """The part of a request or answer that a server waits for; where connections must go, `HEAD` goes first."""

    HEAD = 1
    BODY = 2
    READING = 3


class Connection(asyncio.Protocol):
    """One connection: it passes everything on to an HTTP protocol and notes since when the client owes what.

    ``http`` returns the protocol for this connection; it is called when the first bytes come, so that an idle
    connection costs little. ``cancel`` ends a connection that has no transport yet, as during a TLS handshake.
    """

    def __init__(self, client: str, clock: Callable[[], float], http: HttpFactory) -> None:
        self.client, self.began = client, clock()
        self.since = self.began
        self.cancel: Callable[[], object] = lambda: None
        self.on_lost: Callable[[], object] = lambda: None
        self._clock, self._make_http = clock, http
        self._http: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._answering, self._body, self._paused, self._closing, self._unsent = 0, False, False, False, 0

    @property
    def opened(self) -> bool:
        """True once there is a transport, with the TLS handshake done."""
        return self._transport is not None

    @property
    def used(self) -> bool:
        """True once the client has sent anything."""
        return self._http is not None

    @property
    def owed(self) -> Owed | None:
        """The part that the client owes now; None while a complete request is being answered."""
        if self._paused or self._closing:
            return Owed.READING
        if self._body:
            return Owed.BODY
        return None if self._answering else Owed.HEAD

    def begin(self, *, body: bool) -> None:
        """Note that the head of a request is complete, and whether a ``body`` follows."""
        self._answering += 1
        self._body, self.since = body, self._clock()

    def body_ended(self) -> None:
        """Note that the body of the request is complete."""
        self._body = False

    def end(self) -> None:
        """Note that a request has been answered."""
        self._answering -= 1
        self._body, self.since = False, self._clock()

    def drop(self) -> None:
        """End the connection at once, whatever was not sent yet."""
        if self._transport is None:
            self.cancel()
        else:
            self._transport.abort()

    def require_progress(self, limits: ClientLimits) -> None:
        """Close the connection if its client is late; if it does not even take what was sent before, drop it."""
        now, owed = self._clock(), self.owed
        if owed is Owed.READING and self._transport is not None:
            unsent = self._transport.get_write_buffer_size()
            if unsent != self._unsent:
                self._unsent, self.since = unsent, now
        seconds = {Owed.HEAD: limits.head_seconds, Owed.BODY: limits.body_seconds, Owed.READING: limits.stall_seconds}
        if owed is None or now - self.since <= seconds[owed]:
            return
        if owed is Owed.READING or self._transport is None:
            self.drop()
        else:
            self._transport.close()
            self._closing, self.since = True, now

    # The callbacks of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, which can be aborted."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass on what came."""
        if self._http is None:
            assert self._transport is not None
            self._http = self._make_http(self)
            self._http.connection_made(self._transport)
        self._http.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on that nothing more comes."""
        return self._http.eof_received() if self._http else None

    def pause_writing(self) -> None:
        """Note that the client does not take what is sent."""
        self._paused, self.since, self._unsent = True, self._clock(), -1
        if self._http:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._paused, self.since = False, self._clock()
        if self._http:
            self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so to whoever keeps the connection."""
        self.on_lost()
        if self._http:
            self._http.connection_lost(exc)


class Connections:
    """The connections of a server, within its limits."""

    def __init__(self, limits: ClientLimits, clock: Callable[[], float]) -> None:
        self.limits, self._clock = limits, clock
        self._kept: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def make_room(self, client: str) -> bool:
        """Make room for one more connection of ``client``, if need be by dropping the oldest of those that owe most.

        Returns False where every connection in question is being answered: then the new one has to go.
        """
        own = [each for each in self._kept if each.client == client]
        if len(own) >= self.limits.per_client and not self._drop_one(own):
            return False
        return len(self._kept) < self.limits.total or self._drop_one(self._kept)

    def free_one(self) -> bool:
        """Drop the oldest of the connections that owe most; return False where there is none."""
        return self._drop_one(self._kept)

    def keep(self, connection: Connection) -> None:
        """Keep a connection until it is lost."""
        self._kept[connection] = None
        connection.on_lost = lambda: self.forget(connection)

    def forget(self, connection: Connection) -> None:
        """Keep the connection no longer."""
        self._kept.pop(connection, None)

    def sweep(self) -> None:
        """End the connections of late clients."""
        for connection in list(self._kept):
            connection.require_progress(self.limits)

    def drop_unused(self) -> None:
        """Drop every connection on which nothing has come."""
        for connection in list(self._kept):
            if not connection.used:
                connection.drop()

    def _drop_one(self, candidates: Iterable[Connection]) -> bool:
        # By their age, not by what they did last: those that send rubbish must not outlive a user's first request.
        now = self._clock()
        ranked = [
            (owed, each.began, place, each)
            for place, each in enumerate(candidates)
            if (owed := each.owed) is not None
            and (owed is not Owed.READING or now - each.since > _SURELY_STALLED_SECONDS)
        ]
        if not ranked:
            return False
        *_, connection = min(ranked)
        self.forget(connection)
        connection.drop()
        return True
