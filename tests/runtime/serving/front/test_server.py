"""Idle and broken clients make room for others, nothing is left open, and errors are few lines."""

import contextlib
import datetime
import gc
import os
import socket
import ssl
import time

import pytest

from edgedraft.runtime.serving.certificate import kept_certificate
from edgedraft.runtime.serving.front.limits import ClientLimits
from tests.runtime.serving.front.clients import ask, connect, fronting, is_dropped

QUICK = ClientLimits(head_seconds=0.3, body_seconds=0.3, stall_seconds=0.3, per_client=8, total=12)
PATIENT = ClientLimits(per_client=8, total=12)


def test_idle_connections_make_room_for_a_request():
    with fronting(PATIENT) as port, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(port)) for _ in range(100)]
        assert ask(port, "/", b"abc").endswith(b"3")
        dropped = sum(is_dropped(link) for link in idle[:92])
        assert dropped == 92


def test_no_descriptor_is_left_open(tmp_path):
    def opened():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    with fronting(PATIENT) as port:
        ask(port)
        before = opened()
        for _ in range(100):
            connect(port).close()
            with connect(port) as link:
                link.sendall(b"GARBAGE\r\n\r\n")
        end = time.monotonic() + 10
        while opened() > before and time.monotonic() < end:
            time.sleep(0.05)
        assert opened() <= before


def test_without_descriptors_it_waits_and_goes_on(monkeypatch, caplog):
    """`accept` fails as when no descriptor is left; the server says nothing and accepts again."""
    failed = []
    accept = socket.socket.accept

    def failing(listener):
        if len(failed) < 3:
            failed.append(True)
            raise OSError(24, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", failing)
    with fronting(PATIENT) as port:
        assert ask(port, "/", b"abc").endswith(b"3")
    assert len(failed) == 3
    assert caplog.messages == []


def test_errors_are_a_line_each_and_few(caplog):
    with fronting(PATIENT) as port:
        for _ in range(40):
            assert ask(port, "/fail").startswith(b"HTTP/1.1 500 ")
            with connect(port) as link:
                link.sendall(b"\x00\r\n\r\n")
                assert link.recv(100).startswith(b"HTTP/1.1 400 ")
    lines = [line for text in caplog.messages for line in text.splitlines()]
    assert lines[0].startswith("Exception in ASGI application : RuntimeError: our bug (clients.py:")
    assert 2 <= len(lines) <= 25


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    return kept_certificate(folder, ("127.0.0.1",), datetime.datetime.now(datetime.UTC)).path


def test_a_handshake_that_stops_is_dropped(certificate):
    with fronting(QUICK, certificate) as port:
        for sent in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):
            with connect(port) as link:
                link.sendall(sent)
                assert is_dropped(link)


def test_handshakes_make_room_for_a_request(certificate, caplog):
    tls = ssl.create_default_context(cafile=str(certificate))
    with fronting(PATIENT, certificate) as port, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connect(port)) for _ in range(40)]
        with tls.wrap_socket(connect(port), server_hostname="127.0.0.1") as link:
            link.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert link.recv(100).startswith(b"HTTP/1.1 200 ")
        assert all(is_dropped(link) for link in waiting[:32])
    assert caplog.messages == []
