"""Run jobs in a child that asks before every change of a folder: count the changes, kill it, fail one, skip one."""

import atexit
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.needs import need_program

COMPILER = need_program("cc", "a C compiler", "apt-get install gcc")
_SOURCE = Path(__file__).with_name("events.c")
REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A change that is about to happen: its index in the job, the call, the paths, and its size or flags."""

    at: int
    call: str
    path: str
    other: str
    number: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to an event; see events.c."""

    letter: str
    number: int = 0

    def packed(self) -> bytes:
        """Return the answer in the form that events.c reads."""
        return struct.pack("=cq", self.letter.encode(), self.number)


GO, KILL, SKIP = Decision("g"), Decision("k"), Decision("s")

Decide = Callable[[Event], Decision]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A function ``module:name`` and its arguments, with the ``folder`` to watch. The function returns an exit code."""

    run: str
    arguments: Sequence[object]
    folder: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a job ended: its exit code (negative: the signal's number), its output, and the changes that it made."""

    code: int
    output: str
    events: list[Event] = field(default_factory=list)

    @property
    def last_line(self) -> str:
        """Return the last line of the output."""
        return self.output.strip().splitlines()[-1] if self.output.strip() else ""


class Watcher:
    """The connection to one forker; runs one job at a time."""

    def __init__(self, line: socket.socket, output: Path) -> None:
        self._line, self._output = line.makefile("rb"), output
        self._socket = line

    def ready(self) -> None:
        """Wait until the forker has imported everything."""
        assert self._line.readline() == b"ready\n", "the forker did not start"

    def run(self, job: Job, decide: Decide = lambda event: GO) -> Outcome:
        """Run a job to its end; ``decide`` is asked before every change."""
        ours, theirs = socket.socketpair()
        told = {"run": job.run, "arguments": [str(each) for each in job.arguments], "folder": str(job.folder)}
        with ours, theirs:
            socket.send_fds(
                self._socket, [json.dumps(told | {"output": str(self._output)}).encode()], [theirs.fileno()]
            )
            theirs.close()
            process = int(self._line.readline())
            try:
                events = _asked(ours, decide)
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                raise
            finally:
                code = int(self._line.readline())
        return Outcome(code=code, output=self._output.read_text(errors="replace"), events=events)


def _asked(line: socket.socket, decide: Decide) -> list[Event]:
    events: list[Event] = []
    with line.makefile("rb") as told:
        while text := told.readline():
            call, path, other, number = os.fsdecode(text).rstrip("\n").split("\t")
            event = Event(at=len(events), call=call, path=path, other=other, number=int(number))
            decision = decide(event)
            events.append(event)
            with contextlib.suppress(BrokenPipeError):
                line.sendall(decision.packed())
    return events


@cache
def watcher(place: int = 0) -> Watcher:
    """Return the connection to a forker, started on first use and kept until this process ends; one per ``place``."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(watching())


@contextlib.contextmanager
def watching() -> Iterator[Watcher]:
    """Start a forker and yield the connection to it."""
    with tempfile.TemporaryDirectory(prefix="trust-watcher-") as name:
        library = Path(name) / "events.so"
        compiler = shutil.which("cc")
        assert compiler is not None, f"needs {COMPILER.what} ({COMPILER.remedy})"
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, _SOURCE], check=True)
        ours, theirs = socket.socketpair()
        environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "tests.trust.watching.forker", str(theirs.fileno())]
        with (
            ours,
            subprocess.Popen(
                command, env=environment, pass_fds=[theirs.fileno()], cwd=REPOSITORY, stdin=subprocess.DEVNULL
            ) as process,
        ):
            theirs.close()
            made = Watcher(ours, Path(name) / "output")
            try:
                made.ready()
                yield made
            finally:
                process.kill()
