"""`edgedraft serve` under attack: crowds of slow clients, and requests of any shape."""

import contextlib
import http.client
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.trust.attacks.crowd import crowd
from tests.trust.attacks.shapes import anything, changed, damaged
from tests.trust.frame import Trial, Verdict, kind
from tests.trust.watching.scenes import stage as shared_stage
from tests.trust.watching.watcher import REPOSITORY

IDLE, SLOW = 600, 100
PATIENCE_SECONDS = 10.0
MOST_LINES = 100
_POSTED = 10
_REFUSED = (400, 404, 413, 415)
_TOOL = {"type": "function", "function": {"name": "f", "description": "x", "parameters": {"type": "object"}}}
SOUND: dict[str, Any] = {
    "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "sort"}],
    "max_tokens": 4,
    "temperature": 0,
    "top_p": 0.9,
    "stop": ["END"],
    "seed": 5,
    "logit_bias": {"7": -1},
    "logprobs": True,
    "top_logprobs": 2,
    "stream": False,
}
_ASKED = {"messages": [{"role": "user", "content": "merge the list"}], "max_tokens": 8}


@dataclass(frozen=True, kw_only=True)
class AnsweringServer:
    """A running `edgedraft serve`, its port and its log."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Return the status and the body of an answer; OSError where none comes in time."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(link):
            link.request("GET" if body is None else "POST", path, body, {"Connection": "close"})
            answer = link.getresponse()
            return answer.status, answer.read()

    def text(self) -> str:
        """Return the text of an answer that is always the same."""
        status, body = self.ask("/v1/chat/completions", json.dumps(_ASKED).encode())
        assert status == 200, f"status {status}: {body[:200]!r}"
        return str(json.loads(body)["choices"][0]["message"]["content"])

    def require_quiet(self) -> None:
        """Fail if the server has ended, or logged a traceback or many lines."""
        lines = self.log.read_text(errors="replace").splitlines()
        assert self.process.poll() is None, f"the server ended: {lines[-1:]}"
        assert not any("Traceback" in line or "failed" in line for line in lines), f"logged: {lines[-1]}"
        assert len(lines) < MOST_LINES, f"{len(lines)} lines, such as {lines[0]}"


@contextlib.contextmanager
def answering_server(folder: Path, files: int = 1024) -> Iterator[AnsweringServer]:
    """Serve a small bundle in a process that may open so many ``files``."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(shared_stage().set_again() / "bundle", folder / "bundle", dirs_exist_ok=True)
    serve = [sys.executable, "-m", "edgedraft", "serve", str(folder / "bundle"), "--port", "0"]
    serve += ["--threads", "1", "--context-length", "128"]
    command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *serve]
    log = folder / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=REPOSITORY) as process,
    ):
        try:
            assert process.stdout is not None
            first = process.stdout.readline().decode()
            assert "/v1" in first, log.read_text()
            port = int(first.rpartition(":")[2].partition("/")[0])
            yield AnsweringServer(process=process, port=port, log=log)
        finally:
            process.kill()


@kind("serve-crowds", promise="a crowd of slow clients keeps nobody from an answer, nor from the right one", trials=40)
def serve_crowds(folder: Path) -> Iterator[Trial]:
    """Ask for answers while a crowd stands before the server."""

    def trial(number: int, rng: Random) -> Verdict:
        with answering_server(folder / str(number), files=rng.choice((128, 256, 1024))) as server:
            alone = server.text()
            with crowd(server.port, rng, idle=IDLE, slow=SLOW, knowing=0):
                for _ in range(5):
                    time.sleep(rng.random() * 0.4)
                    assert server.text() == alone, "another text than alone"
            server.require_quiet()
        return Verdict.HELD

    yield trial


@kind("requests", promise="a request of any shape is answered or refused with 4xx in OpenAI's form", trials=2000)
def requests(folder: Path) -> Iterator[Trial]:
    """Post random shapes."""
    with answering_server(folder) as server:
        alone = server.text()

        def trial(number: int, rng: Random) -> Verdict:
            statuses = [_posted(server, *_post(rng)) for _ in range(_POSTED)]
            assert server.text() == alone, "another text than before"
            server.require_quiet()
            return Verdict.HELD if 200 in statuses else Verdict.REFUSED

        yield trial


def _post(rng: Random) -> tuple[str, bytes]:
    """Return the address and the body of one request."""
    sound = {**SOUND, "stream": rng.random() < 0.3, **({"tools": [_TOOL]} if rng.random() < 0.3 else {})}
    path = "/v1/chat/completions"
    if rng.random() < 0.3:
        path = "/v1/completions"
        sound = {"prompt": rng.choice(("sort", [1, 2, 3])), "max_tokens": 3, "logprobs": 2, "temperature": 1}
    chance = rng.random()
    if chance < 0.7:
        return path, json.dumps(changed(sound, rng)).encode()
    if chance < 0.85:
        return path, json.dumps(anything(rng, 6)).encode()
    return path, damaged(json.dumps(sound).encode(), rng)


def _posted(server: AnsweringServer, path: str, body: bytes) -> int:
    try:
        status, answer = server.ask(path, body)
    except OSError as error:
        raise AssertionError(f"{path}: {type(error).__name__} for {body[:200]!r}") from error
    assert status == 200 or status in _REFUSED, f"{path}: status {status} for {body[:200]!r}: {answer[:200]!r}"
    if status != 200:
        error_body = json.loads(answer)["error"]
        assert set(error_body) == {"message", "type", "param", "code"}, f"{path}: {answer[:200]!r}"
        assert "\n" not in error_body["message"], f"{path}: {answer[:200]!r}"
    return status


KINDS = (serve_crowds, requests)
"""The kinds of trials; every file lists its own in ``KINDS``."""
