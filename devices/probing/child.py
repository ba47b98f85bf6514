"""The probe's end of a worker process: start it, ask it, end it whatever happens."""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, Protocol

from edgedraft.devices.probing.worker import Job, OpenedGraph, TimingTurn
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import from_plain, to_plain

_WORKER = ("-m", "edgedraft.devices.probing.worker")


class Worker(Protocol):
    """A process that holds the graphs of a job."""

    job: Job

    def opened(self) -> Iterator[OpenedGraph]:
        """Yield what each graph of the job became."""
        ...

    def take(self, turn: TimingTurn) -> list[list[float]]:
        """Seconds of each timed pass of each request that the turn had time for."""
        ...


@contextlib.contextmanager
def working(job: Job, seconds: float) -> Iterator[Worker]:
    """Run a worker process for ``job``; one that still runs after ``seconds`` is killed, so nothing can hang."""
    with tempfile.TemporaryFile() as log:
        pipe = subprocess.PIPE
        child = subprocess.Popen([sys.executable, *_WORKER], stdin=pipe, stdout=pipe, stderr=log, text=True)
        watch = threading.Timer(seconds, child.kill)
        watch.start()
        try:
            yield _Child(job, child, log)
        finally:
            watch.cancel()
            child.kill()  # it holds nothing worth a farewell
            child.wait()
            _close(child)


class _Child:
    """A `Worker` in a child process."""

    def __init__(self, job: Job, child: "subprocess.Popen[str]", log: Any) -> None:
        self.job, self._child, self._log = job, child, log
        self._say(job)

    def opened(self) -> Iterator[OpenedGraph]:
        for _ in self.job.graphs:
            yield from_plain(OpenedGraph, self._hear(), "probe worker")

    def take(self, turn: TimingTurn) -> list[list[float]]:
        self._say(turn)
        answer: list[list[float]] = self._hear()
        return answer

    def _say(self, value: object) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(to_plain(value)) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _hear(self) -> Any:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise self._ended()
        return json.loads(line)

    def _ended(self) -> EdgedraftError:
        """Why the process is gone, by its last words."""
        code = self._child.wait()
        self._log.seek(0)
        words = self._log.read().decode("utf-8", errors="replace").strip().splitlines()
        reason = words[-1] if words else f"exit status {code}"
        remedy = "close other programs, or give the probe more seconds"
        what = f"probe: the process that measures {self.job.provider} with {self.job.threads} threads ended"
        return EdgedraftError(what, got=reason, remedy=remedy)


def _close(child: "subprocess.Popen[str]") -> None:
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
