"""Servers under attack: crowds of slow clients, and posts of any shape."""

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from edgedraft.devices.fitting import fit_probe
from edgedraft.devices.profile_file import read_profile
from edgedraft.runtime.base.json_text import parsed_json
from tests.trust.attacks.crowd import crowd
from tests.trust.attacks.server import ServerProcess, server_process
from tests.trust.attacks.shapes import posts
from tests.trust.frame import Trial, Verdict, kind

IDLE, SLOW, KNOWING = 1200, 200, 12
SERVED_SECONDS, PATIENCE_SECONDS = 1.0, 10.0
"""The usual time and the longest. On a machine that is busy with other work, ten times the time without a crowd may be
usual, too."""
MOST_LINES = 1000
_ASKED, _POSTED = 10, 20
_TAKEN, _REFUSED = 204, (400, 413, 415)


@kind("slow-clients", promise="a crowd of slow and idle clients locks nobody out, and logs little", trials=40)
def slow_clients(folder: Path) -> Iterator[Trial]:
    """Ask a server, with the token, while a crowd stands before it."""

    def trial(number: int, rng: Random) -> Verdict:
        files, tls = rng.choice((64, 128, 256, 1024)), rng.random() < 0.3
        with server_process(folder / str(number), files=files, tls=tls) as server:
            knowing = 0 if tls or files < 256 else KNOWING
            alone = statistics.median(ask(server, "alone") for _ in range(3))
            with crowd(server.port, rng, idle=IDLE, slow=SLOW, knowing=knowing):
                seconds = []
                for count in range(_ASKED):
                    time.sleep(rng.random() * 0.4)
                    seconds.append(ask(server, f"of {files} descriptors, request {count}"))
                usual = statistics.median(seconds)
                assert usual <= max(SERVED_SECONDS, 10 * alone), f"a request usually takes {usual:.2f} s"
                opened = len(os.listdir(f"/proc/{server.process.pid}/fd"))
                assert opened < files, f"{opened} of {files} descriptors are open"
            ask(server, "when the crowd has gone")
            require_quiet(server)
        return Verdict.HELD

    yield trial


@kind("posts", promise="a post of any shape is kept readably or refused with 4xx", trials=2000)
def hostile_posts(folder: Path) -> Iterator[Trial]:
    """Post random shapes."""
    with server_process(folder) as server:

        def trial(number: int, rng: Random) -> Verdict:
            before = len(server.lines())
            statuses = [post(server, *each) for each in posts(rng, _POSTED)]
            ask(server, "after the posts")
            require_quiet(server)
            assert len(server.lines()) == before, f"logged: {server.lines()[-1]}"
            return Verdict.HELD if _TAKEN in statuses else Verdict.REFUSED

        yield trial


def ask(server: ServerProcess, when: str) -> float:
    """Return the seconds of an answer; fail without one within `PATIENCE_SECONDS`."""
    begun = time.monotonic()
    try:
        status = server.status("session.json", seconds=PATIENCE_SECONDS)
    except OSError as error:
        raise AssertionError(f"{when}: {type(error).__name__}: {error}") from error
    assert status == 200, f"{when}: status {status}"
    return time.monotonic() - begun


def require_quiet(server: ServerProcess) -> None:
    """Fail if the server has ended, or logged a traceback or too many lines."""
    lines = server.lines()
    assert server.process.poll() is None, f"the server ended: {lines[-1:]}"
    assert not any("Traceback" in line for line in lines), f"a traceback: {lines[-1]}"
    assert len(lines) < MOST_LINES, f"{len(lines)} lines, such as {lines[0]}"


def post(server: ServerProcess, path: str, body: bytes, headers: dict[str, str]) -> int:
    """Post, check the status, and read what was kept; return the status."""
    try:
        status = server.status(path, body, **{"Content-Type": "application/json", **headers})
    except OSError as error:
        raise AssertionError(f"{path}: {type(error).__name__} for {body[:200]!r}") from error
    assert status == _TAKEN or status in _REFUSED, f"{path}: status {status} for {body[:200]!r}"
    kept = sorted(server.results.iterdir()) if server.results.is_dir() else []
    assert len(kept) == (status == _TAKEN), f"{path}: status {status}, {len(kept)} files"
    for file in kept:
        if file.suffix == ".toml":
            probe = read_profile(file).probe
            assert probe is not None
            fit_probe(probe)
        else:
            parsed_json(file.read_bytes(), file.name)
        file.unlink()
    return status


KINDS = (slow_clients, hostile_posts)
