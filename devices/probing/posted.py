"""Check what a phone posts: a probe's samples, or a bench's report, with the device they are of."""

import datetime
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from edgedraft.devices.probing.timed import TimedOverhead, TimedStep
from edgedraft.runtime.base.errors import naming, shown
from edgedraft.runtime.base.kernel_names import NOT_RECORDED
from edgedraft.runtime.base.provider_names import BROWSERS
from edgedraft.runtime.base.records import from_plain, require

Posted = TypeVar("Posted", "PostedProbe", "PostedBench")

_LONGEST_TEXT, _MOST_SKIPPED = 300, 100
_MOST_SAMPLES, _SHORTEST_SECONDS, _LONGEST_SECONDS = 1000, 1e-9, 3600.0
_MOST_BYTES = 2**53
"""Browsers count exactly up to here."""
_MOST_CORES, _MOST_GIGABYTES = 4096, 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class PostedDevice:
    """A browser's description of its device; memory is rounded and cut off by most, None where they say nothing.

    A ``software_adapter`` computes WebGPU on the processor.
    """

    name: str
    user_agent: str
    adapter: str
    cores: int
    memory_gigabytes: float | None
    shader_f16: bool
    max_buffer_bytes: int
    max_binding_bytes: int
    software_adapter: bool = False

    def __post_init__(self) -> None:
        require(1 <= self.cores <= _MOST_CORES, f"device: cores: expected 1..{_MOST_CORES}", got=self.cores)
        memory = self.memory_gigabytes
        rule = f"device: memory_gigabytes: expected 0.1..{_MOST_GIGABYTES} or null"
        require(memory is None or 0.1 <= memory <= _MOST_GIGABYTES, rule, got=memory)
        for name in ("max_buffer_bytes", "max_binding_bytes"):
            got = getattr(self, name)
            require(0 <= got <= _MOST_BYTES, f"device: {name}: expected 0..2**53", got=shown(got))


@dataclass(frozen=True, kw_only=True, slots=True)
class PostedProbe:
    """All timings that the browser page sent for the graphs it was given."""

    device: PostedDevice
    onnxruntime: str
    date: str
    seconds: float
    steps: tuple[TimedStep, ...]
    overheads: tuple[TimedOverhead, ...]
    skipped: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_date(self.date)
        require(0 <= self.seconds < math.inf, "seconds: expected 0 or more", got=self.seconds)
        got = "; ".join(map(one_line, self.skipped[:_MOST_SKIPPED])) or None
        require(len(self.steps) > 0, "steps: expected one or more", got=got)
        for i, step in enumerate(self.steps):
            _check_step(step, f"steps[{i}]")
        for i, overhead in enumerate(self.overheads):
            _check_provider(overhead.provider, f"overheads[{i}]")
            _check_samples(overhead.seconds, f"overheads[{i}]: seconds", zero=True)
        _check_once([overhead.provider for overhead in self.overheads], "overheads")
        _check_once([(s.provider, s.precision, s.width, s.rows) for s in self.steps], "steps")
        _check_threads(self.steps)


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchProviders:
    """The provider that ran each model."""

    target: str
    drafter: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PostedBench:
    """A bench's report, kept as it came but for its ways, of which there must be one."""

    device: PostedDevice
    onnxruntime: str
    date: str
    provider: BenchProviders
    report: dict[str, Any]

    def __post_init__(self) -> None:
        _check_date(self.date)
        for role in ("target", "drafter"):
            _check_provider(getattr(self.provider, role), f"provider: {role}")
        ways = self.report.get("ways")
        right = isinstance(ways, dict) and bool(ways)
        require(right, "report: ways: expected one or more", got=type(ways).__name__)


def read_probe(data: object) -> PostedProbe:
    """Read a posted probe; what is missing, mistyped or impossible is an `EdgedraftError` that names the key."""
    return _read(PostedProbe, data, "results/probe")


def read_bench(data: object) -> PostedBench:
    """Read a posted bench, checked like a probe."""
    return _read(PostedBench, data, "results/bench")


def _read(record: type[Posted], data: object, where: str) -> Posted:
    with naming(where):
        return from_plain(record, data, where)


def one_line(text: str) -> str:
    """Foreign ``text`` as one short line without control characters, fit for a terminal and a file."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:_LONGEST_TEXT]


def skipped_lines(probe: PostedProbe) -> tuple[str, ...]:
    """Return what could not be probed, each reason a line."""
    return tuple(map(one_line, probe.skipped[:_MOST_SKIPPED]))


def _check_date(text: str) -> None:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        require(False, "date: expected YYYY-MM-DD", got=repr(one_line(text)))


def _check_provider(name: str, where: str) -> None:
    require(name in BROWSERS, f"{where}: expected one of {', '.join(BROWSERS)}", got=repr(one_line(name)))


def _check_step(step: TimedStep, where: str) -> None:
    _check_provider(step.provider, f"{where}: provider")
    require(1 <= step.threads <= _MOST_CORES, f"{where}: threads: expected 1..{_MOST_CORES}", got=step.threads)
    require(
        step.kernels == NOT_RECORDED, f"{where}: kernels: a browser has none to name", got=repr(one_line(step.kernels))
    )
    _check_samples(step.seconds, f"{where}: seconds")


def _check_samples(seconds: Sequence[float], where: str, *, zero: bool = False) -> None:
    """Coarse timers of browsers may give 0 for a pass that has next to nothing to do, never for a chain."""
    count = len(seconds)
    require(1 <= count <= _MOST_SAMPLES, f"{where}: expected 1..{_MOST_SAMPLES} samples", got=count)
    bad = [value for value in seconds if not (_SHORTEST_SECONDS <= value < _LONGEST_SECONDS or (zero and value == 0))]
    rule = f"{where}: expected {'0 or ' if zero else ''}from {_SHORTEST_SECONDS:g} to below {_LONGEST_SECONDS:.0f}"
    require(not bad, rule, got=bad[0] if bad else None)


def _check_once(keys: Sequence[object], where: str) -> None:
    repeated = [key for key, count in Counter(keys).items() if count > 1]
    require(not repeated, f"{where}: expected each once", got=one_line(str(repeated[0])) if repeated else None)


def _check_threads(steps: Sequence[TimedStep]) -> None:
    """Require one number of threads a provider: a latency model would mix several."""
    for provider in BROWSERS:
        counts = sorted({step.threads for step in steps if step.provider == provider})
        require(len(counts) <= 1, f"steps: expected one number of threads on {provider}", got=counts)
