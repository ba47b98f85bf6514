"""Running a conversion step as a child process: quiet, logged, with its time and peak memory."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError, unwritable_is_users


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessCost:
    """Cost of one child process; ``peak_bytes`` is its largest resident set, 0 where the system cannot say.

    Linux counts the parent's own size at the start as a child's, so start children from a small process.
    """

    what: str
    seconds: float
    peak_bytes: int


def run_python(what: str, arguments: Sequence[str], log: Path, python: Path | None = None) -> ProcessCost:
    """Run ``python arguments`` with its output in ``log``; a failure's error quotes the log's last line.

    ``python`` is the interpreter, ours where none is named.
    """
    started = time.perf_counter()
    with unwritable_is_users(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    with log.open("wb") as output:
        child = subprocess.Popen([str(python or sys.executable), *arguments], stdout=output, stderr=subprocess.STDOUT)
        try:
            code, peak_bytes = _wait(child)
        except BaseException:
            child.kill()
            child.wait()
            raise
    if code != 0:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"exit status {code}"
        raise EdgedraftError(f"{what} failed", got=reason, remedy=f"the whole log is in {log}")
    return ProcessCost(what=what, seconds=time.perf_counter() - started, peak_bytes=peak_bytes)


def _wait(child: "subprocess.Popen[bytes]") -> tuple[int, int]:
    """Wait for ``child`` to end; return its exit status and peak memory."""
    if not hasattr(os, "wait4"):
        return child.wait(), 0
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return child.returncode, usage.ru_maxrss * unit
