"""Soak: after thousands of answers a process holds no more than after the first few hundred."""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tests.trust.frame import Trial, Verdict, kind
from tests.trust.watching.scenes import stage as shared_stage
from tests.trust.watching.watcher import REPOSITORY

ANSWERS = 200
"""Of one trial; all trials of a run are answered by one process."""
MOST_MORE_BYTES = 3 * 2**20
"""What allocators may still take after the first trial; less than 2 KiB for each of 2,000 answers."""

Held = dict[str, int]


@kind("soak", promise="after 2,000 answers memory, descriptors and threads are as after 200", trials=10)
def soak(folder: Path) -> Iterator[Trial]:
    """Give answers, and compare what the process holds with what it held after the first trial."""
    shutil.copytree(shared_stage().set_again() / "bundle", folder / "bundle")
    with answering(folder / "bundle", seed=1) as after:
        first: Held = after(ANSWERS)

        def trial(number: int, rng: Random) -> Verdict:
            require_flat(first, after(ANSWERS))
            return Verdict.HELD

        yield trial


@contextlib.contextmanager
def answering(bundle: Path, seed: int, *planted: str) -> Iterator[Callable[[int], Held]]:
    """Run a process that has the bundle open; yield a function that has it answer, and returns what it then holds."""
    command = [sys.executable, "-m", "tests.trust.watching.soaked", str(bundle), str(seed), *planted]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdin is not None and process.stdout is not None
        asked, said = process.stdin, process.stdout

        def after(count: int) -> Held:
            asked.write(f"{count}\n")
            asked.flush()
            line = said.readline()
            assert line, "the process ended"
            held: Held = json.loads(line)
            assert held.pop("same"), "another answer than at first"
            return held

        try:
            yield after
        finally:
            process.kill()


def require_flat(first: Held, now: Held) -> None:
    """Fail if a process holds more than it did."""
    more = {name: now[name] - first[name] for name in first}
    assert more["bytes"] <= MOST_MORE_BYTES, f"{more['bytes'] / 2**20:.1f} MiB more"
    assert more["files"] <= 0, f"{more['files']} descriptors more"
    assert more["threads"] <= 0, f"{more['threads']} threads more"


KINDS = (soak,)
