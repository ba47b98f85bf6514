"""What a device gets: install the runtime alone with each Python, and run every command that needs nothing more.

    python tests/benchmarks/installs.py BUNDLE [--python python3.11 python3.12 python3.13] [--cores 1]

Builds one wheel of this checkout (build the page first: `npm run build` in runtime/web) and installs it without
extras in an environment of its own for each Python. Prints the installed size, then a line for each command: how it
ended, how long it took, and its last line. Commands whose extra is missing must end with 2 and name the extra. Then
it installs `edgedraft[serve]` alone in a second environment, runs `edgedraft phone`, and reads the page from it.

``--cores`` limits each command to so much processor time, with a control group of its own (Linux, version 1 or 2 of
the cpu controller, as root); without the right to make one it says so and ends.
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.console import Console

REPOSITORY = Path(__file__).resolve().parents[2]
PROMPT = "Write a Python function that merges two sorted lists."
_GROUPS = Path("/sys/fs/cgroup")
_PERIOD_MICROSECONDS = 100_000
_NOT_INSTALLED_BY_US = ("pip", "setuptools", "_distutils_hack", "pkg_resources", "wheel")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended: its exit status, seconds and last line."""

    command: str
    status: int
    seconds: float
    line: str

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Return the command's row of the table."""
        return (self.command, str(self.status), f"{self.seconds:.1f}", self.line[:100])


@contextlib.contextmanager
def quota(cores: float | None) -> Iterator[Path | None]:
    """Make a control group with so many cores; yield the file that takes a process into it, None without ``cores``."""
    if cores is None:
        yield None
        return
    first = (_GROUPS / "cpu").is_dir()
    group = _GROUPS / ("cpu" if first else "") / f"edgedraft-installs-{os.getpid()}"
    limit = str(round(cores * _PERIOD_MICROSECONDS))
    try:
        group.mkdir()
        if first:
            (group / "cpu.cfs_quota_us").write_text(limit)
        else:
            (group / "cpu.max").write_text(f"{limit} {_PERIOD_MICROSECONDS}")
    except OSError as error:
        sys.exit(f"--cores: expected the right to make a control group, got {error}; run as root, or leave it out")
    try:
        yield group / "cgroup.procs"
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()


def inside(command: Sequence[str], group: Path | None) -> list[str]:
    """Return the command that first puts itself into the control group."""
    return list(command) if group is None else ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group), *command]


def ran(name: str, command: Sequence[str], group: Path | None, folder: Path) -> Ended:
    """Run a command in ``folder`` and say how it ended."""
    begun = time.monotonic()
    done = subprocess.run(inside(command, group), cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    output = done.stdout if done.returncode == 0 else done.stderr
    lines = [line for line in output.splitlines() if line.strip()]
    return Ended(
        command=name,
        status=done.returncode,
        seconds=time.monotonic() - begun,
        line=lines[-1] if lines else "",
    )


def built_wheel(folder: Path) -> Path:
    """Build the checkout's wheel in ``folder``."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(REPOSITORY)], check=True
    )
    return next(folder.glob("*.whl"))


def environment(python: str, folder: Path, requirement: str) -> Path:
    """Install a requirement in a new environment; return the folder of its programs."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    programs = folder / "bin"
    subprocess.run([str(programs / "python"), "-m", "pip", "install", "-q", requirement], check=True)
    return programs


def installed_mib(environment_folder: Path) -> tuple[float, float]:
    """Return the MiB of all packages without the installer, and of edgedraft's own folder."""
    site = next((environment_folder / "lib").glob("python*/site-packages"))
    kept = [entry for entry in site.iterdir() if not entry.name.startswith(_NOT_INSTALLED_BY_US)]
    sizes = {entry.name: _bytes(entry) / 2**20 for entry in kept}
    return sum(sizes.values()), sizes.get("edgedraft", 0.0)


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


def device_rows(programs: Path, bundle: Path, group: Path | None, folder: Path) -> list[Ended]:
    """Run what a device runs, and what it lacks extras for."""
    edgedraft, given = str(programs / "edgedraft"), str(bundle)
    commands = {
        "doctor": ["doctor"],
        "kernels": ["kernels"],
        "generate": ["generate", given, PROMPT, "--max-new-tokens", "16"],
        "tune": ["tune", given],
        "bench": ["bench", given, "--number", "2", "--max-new-tokens", "32"],
        "serve": ["serve", given],
        "phone": ["phone", given],
        "devices probe": ["devices", "probe", "--seconds", "10"],
        "plan": ["plan"],
    }
    return [ran(name, [edgedraft, *words], group, folder) for name, words in commands.items()]


def phone_row(programs: Path, bundle: Path, group: Path | None, folder: Path) -> Ended:
    """Run `edgedraft phone` until its page was read."""
    begun = time.monotonic()
    command = inside([str(programs / "edgedraft"), "phone", str(bundle), "--port", "8431"], group)
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        said: list[str] = []
        address = ""
        for line in process.stdout or ():
            said.append(line.strip())
            if found := re.search(r"https?://\S+", line):
                address = found.group()
                break
        seen = _page(address) if address else " ".join(said)[-100:]
        process.terminate()
        return Ended(
            command="phone ([serve] alone)",
            status=0 if address else process.wait(),
            seconds=time.monotonic() - begun,
            line=seen,
        )


def _page(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:
        text = answer.read().decode("utf-8")
        title = re.search(r"<title>(.*?)</title>", text)
        return f"status {answer.status}, {len(text)} characters, title {title.group(1) if title else 'none'!r}"


def main() -> None:
    """Print a table for each Python."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--python", nargs="+", default=["python3.11", "python3.12", "python3.13"])
    parser.add_argument("--cores", type=float, help="limit every command to so many cores")
    options = parser.parse_args()
    missing = [each for each in options.python if shutil.which(each) is None]
    if missing:
        sys.exit(
            f"--python: expected interpreters that are here, got {', '.join(missing)}; install them or leave them out"
        )
    console, bundle = Console(), options.bundle.resolve()
    with tempfile.TemporaryDirectory() as temporary, quota(options.cores) as group:
        folder = Path(temporary)
        wheel = built_wheel(folder)
        console.say(f"wheel: {wheel.name}, {wheel.stat().st_size / 2**20:.1f} MiB; cores: {options.cores or 'all'}")
        for number, python in enumerate(options.python):
            alone, serve = folder / f"alone-{number}", folder / f"serve-{number}"
            programs = environment(python, alone, str(wheel))
            total, ours = installed_mib(alone)
            rows = device_rows(programs, bundle, group, folder)
            rows.append(phone_row(environment(python, serve, f"{wheel}[serve]"), bundle, group, folder))
            console.say(f"\n{python}: {total:.0f} MiB installed, {ours:.1f} MiB of it edgedraft")
            console.table(("command", "exit", "seconds", "last line"), [each.row for each in rows])


if __name__ == "__main__":
    main()
