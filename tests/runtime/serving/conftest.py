"""A page server on a free port in a thread of its own, and requests to it byte for byte."""

import contextlib
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass

import pytest

from edgedraft.runtime.serving.listening import listen
from edgedraft.runtime.serving.page_server import Offer, PageServer

TOKEN = "the-right-token-of-22x"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One response, its header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that runs, and ways to ask it."""

    server: PageServer
    port: int
    tls: ssl.SSLContext | None = None

    def raw(self, request: bytes) -> bytes:
        """All that comes back for exactly these bytes until the server or we close."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain:
            connection = self.tls.wrap_socket(plain, server_hostname="127.0.0.1") if self.tls else plain
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        """The answer at ``path`` below the token; a path that begins with a slash is taken as it is."""
        target = path if path.startswith("/") else f"/{TOKEN}/{path}"
        told = {"Host": "127.0.0.1", "Connection": "close", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if body and "Transfer-Encoding" not in told:
            told.setdefault("Content-Length", str(len(body)))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
        return parsed_answer(self.raw("\r\n".join(lines).encode("latin-1") + body))


def parsed_answer(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = re.sub(rb"(?:^|\r\n)[0-9a-f]+\r\n", b"", body.removesuffix(b"\r\n0\r\n\r\n"))
    return Answer(status=int(first.split()[1]), headers=headers, body=body)


@pytest.fixture(scope="session")
def serving():
    """Runs a server of a site until the block ends."""

    @contextlib.contextmanager
    def run(site, certificate=None, tls=None, beyond_loopback=False):
        listener = listen(0, beyond_loopback=beyond_loopback)
        server = PageServer(Offer(site=site, token=TOKEN, certificate=certificate), listener)
        port = server.address[1]
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Running(server=server, port=port, tls=tls)
        finally:
            server.stop()
            thread.join(10)
            assert not thread.is_alive()

    return run


@pytest.fixture(scope="session")
def token() -> str:
    return TOKEN


@pytest.fixture
def eventually():
    """Waits until something holds."""

    def wait(holds, seconds: float = 5.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.01)

    return wait
