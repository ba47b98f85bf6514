"""One worker process and the pipe to it."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What starts a worker; ways with equal launches share one process and so one copy of the weights."""

    name: str
    python: Path
    script: str
    config: str


class Worker:
    """A process that has loaded its engine and waits for prompts."""

    def __init__(self, launch: Launch, logs: Path, threads: int) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.launch = launch
        self._log = logs / f"{launch.name}.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment |= {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(launch.python), str(_FOLDER / launch.script), launch.config],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                env=environment,
            )
        self._usage = psutil.Process(self._process.pid)
        self.facts = self._receive()

    def ask(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Decode one prompt."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._stopped() from None
        return self._receive()

    def cpu_seconds(self) -> float:
        """Processor time used so far, all threads together."""
        times = self._usage.cpu_times()
        return float(times.user + times.system)

    def memory_bytes(self) -> int:
        """Resident memory."""
        return int(self._usage.memory_info().rss)

    def close(self) -> None:
        """End the process by ending its input."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._stopped()
        return dict(json.loads(line))

    def _stopped(self) -> SystemExit:
        self._process.wait()
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return SystemExit(
            f"peers: {self.launch.name} stopped: {lines[-1] if lines else 'no message'} (see {self._log})"
        )
