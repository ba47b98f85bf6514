"""A crowd of idle and slow clients: connections that say nothing, and others that send a byte now and then."""

import contextlib
import errno
import resource
import socket
import threading
from collections.abc import Iterator
from random import Random

from tests.trust.attacks.server import BIG, TOKEN

_BEGINNINGS = (
    b"",
    b"GET /session.json HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    b"POST /wrong/results/probe HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
    b"POST /wrong/results/probe HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
    b"GET /wrong HTTP/1.1\r\nHost: x\r\n\r\n" * 200,
    b"\x16\x03\x01\x02\x00",
)
_KNOWING = (
    f"POST /{TOKEN}/results/probe HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".encode(),
    f"GET /{TOKEN}/{BIG} HTTP/1.1\r\nHost: x\r\nX-Slow: 1\r\n\r\n".encode(),
)
_PAUSE_SECONDS = 0.2


@contextlib.contextmanager
def crowd(port: int, rng: Random, *, idle: int, slow: int, knowing: int) -> Iterator[None]:
    """Keep so many connections to ``port`` in the block; ``knowing`` of the slow clients have the token.

    Where the server drops one of the slow clients, it comes back at once.
    """
    _allow_descriptors(idle + slow + 256)
    links = [_connected(port) for _ in range(idle)]
    beginnings = [rng.choice(_KNOWING) for _ in range(knowing)] + [
        rng.choice(_BEGINNINGS) for _ in range(slow - knowing)
    ]
    ended = threading.Event()
    trickling = threading.Thread(target=_trickle, args=(port, beginnings, ended))
    trickling.start()
    try:
        yield
    finally:
        ended.set()
        trickling.join()
        for link in links:
            link.close()


def _trickle(port: int, beginnings: list[bytes], ended: threading.Event) -> None:
    links: dict[int, socket.socket] = {}
    while not ended.wait(_PAUSE_SECONDS):
        for place, beginning in enumerate(beginnings):
            if place not in links:
                links[place] = _connected(port)
                _sent(links[place], beginning)
            elif not _sent(links[place], b"x"):
                links.pop(place).close()
    for link in links.values():
        link.close()


def _connected(port: int) -> socket.socket:
    """Return a socket that is being connected, without waiting: a full backlog must not slow down the crowd."""
    link = socket.socket()
    link.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        link.connect(("127.0.0.1", port))
    return link


def _sent(link: socket.socket, data: bytes) -> bool:
    """Send what goes without waiting; return False where the connection has ended."""
    try:
        link.send(data)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.ENOTCONN)
    return True


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(hard, count), hard)
        )
