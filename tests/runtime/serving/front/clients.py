"""A front on a free port that serves a small application, and clients of it."""

import asyncio
import contextlib
import socket
import threading

from edgedraft.runtime.serving.front.server import Front, FrontOptions
from edgedraft.runtime.serving.listening import listen

BIG = 2**25


async def app(scope, receive, send):
    """Answer ``/big`` with much, ``/fail`` not at all, and the rest with the size of the body, which it reads."""
    if scope["path"] == "/fail":
        raise RuntimeError("our bug")
    size, more = 0, scope["path"] != "/unread"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    if scope["path"] == "/late":
        await asyncio.sleep(0.8)
    body = bytes(BIG) if scope["path"] == "/big" else str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for start in range(0, len(body), 65536):
        await send({"type": "http.response.body", "body": body[start : start + 65536], "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@contextlib.contextmanager
def fronting(limits, certificate=None):
    """Yield the port of a running front."""
    front = Front(app, listen(0), FrontOptions(limits=limits, certificate=certificate))
    port = front.address[1]
    thread = threading.Thread(target=front.run)
    thread.start()
    try:
        yield port
    finally:
        front.stop()
        thread.join(10)
        assert not thread.is_alive()


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def ask(port, path="/", body=b""):
    with connect(port) as link:
        link.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode())
        link.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return b"".join(iter(lambda: link.recv(65536), b""))


def is_dropped(link):
    """Wait until the server ends a connection; what it still says is read first."""
    try:
        while link.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
