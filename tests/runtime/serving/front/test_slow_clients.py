"""Clients that stop, trickle or do not read are dropped; slow ones that go on, and slow answers, are not."""

import contextlib
import time

import pytest

from edgedraft.runtime.serving.front.limits import ClientLimits
from tests.runtime.serving.front.clients import BIG, ask, connect, fronting, is_dropped

QUICK = ClientLimits(head_seconds=0.3, body_seconds=0.3, stall_seconds=0.3, per_client=8, total=12)


@pytest.fixture(scope="module")
def quick():
    """The port of a front that waits for nobody."""
    with fronting(QUICK) as port:
        yield port


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-One: 1\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT",
        b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["nothing", "half a line", "half a head", "a body", "chunks", "an unread body", "half the next", "unread"],
)
def test_a_client_that_stops_is_dropped(quick, sent):
    with connect(quick) as link:
        link.sendall(sent)
        if b"/big" in sent:
            time.sleep(1.5)
            assert len(b"".join(_left(link))) < BIG
        else:
            assert is_dropped(link)


def _left(link):
    with contextlib.suppress(ConnectionError):
        yield from iter(lambda: link.recv(65536), b"")


@pytest.mark.parametrize(
    "start",
    [b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"],
    ids=["head", "body"],
)
def test_a_client_that_trickles_is_dropped(quick, start):
    with connect(quick) as link:
        link.sendall(start)
        with pytest.raises(ConnectionError):
            _trickle(link)


def _trickle(link):
    for _ in range(200):
        link.sendall(b"x")
        time.sleep(0.05)


def test_an_answer_that_takes_long_is_not_late(quick):
    assert ask(quick, "/late", b"abc").endswith(b"3")


def test_a_slow_reader_gets_everything(quick):
    with connect(quick) as link:
        link.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = 0
        while received < BIG:
            received += len(link.recv(2**20))
            time.sleep(0.01)
