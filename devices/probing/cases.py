"""Choose what the probe times: which processes with which graphs, and the cases on each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from edgedraft.devices.machine import Machine
from edgedraft.devices.probing.graphs import (
    FLOAT_PRODUCTS,
    FP16,
    FP32,
    INTEGER_PRODUCTS,
    PROBED_PRECISIONS,
    GraphSpec,
)
from edgedraft.devices.probing.worker import READER, Job, OpenedGraph, Request
from edgedraft.devices.profile import LAPTOP
from edgedraft.runtime.base.provider_names import BROWSERS, CPU
from edgedraft.runtime.base.records import require
from edgedraft.runtime.native.library import AUTO, STOCK

STEP, STREAM, OVERHEAD = "step", "stream", "overhead"

_ELSEWHERE = {"azure"}  # onnxruntime lists it everywhere, but it runs nothing on this machine
_STEPPED_THREADS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
SMALLEST = GraphSpec(precision=FP32, width=32, weight_bytes=1)
"""A chain that has next to nothing to do: what a pass costs anyway."""
_READER_WIDTH, _STREAM_WIDTH = 8192, 4096
_STREAM_TURNS = 3
_MEMORY_SHARE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeSettings:
    """The settings of a probe; ``seconds`` bound it, the start of processes included.

    ``threads`` are those that steps are timed with, None for all cores; ``providers`` None for all that are there.
    ``weight_bytes`` is what one pass of a chain reads: all chains together are far more than a cache keeps until the
    next turn. ``rest_seconds`` let one process's threads stop spinning before another's are timed (40 ms were seen).
    """

    seconds: float = 100.0
    threads: int | None = None
    providers: tuple[str, ...] | None = None
    precisions: tuple[str, ...] = PROBED_PRECISIONS
    widths: tuple[int, ...] = (1024, 2048)
    rows: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 12, 16)
    weight_bytes: int = 96_000_000
    rest_seconds: float = 0.1
    kind: str = LAPTOP
    date: str = field(default_factory=lambda: date.today().isoformat())

    def __post_init__(self) -> None:
        unknown = ", ".join(name for name in self.precisions if name not in PROBED_PRECISIONS)
        require(not unknown, f"probe: precisions: expected of {', '.join(PROBED_PRECISIONS)}", got=unknown)
        require(10 <= self.seconds <= 3600, "probe: seconds: expected 10..3600", got=self.seconds)
        require(self.rows[:1] == (1,), "probe: rows must begin with 1", got=self.rows)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """A case to time on a worker, and its times so far."""

    kind: str
    job: Job
    spec: GraphSpec
    opened: OpenedGraph
    request: Request
    seconds: list[float] = field(default_factory=list)


def jobs(
    settings: ProbeSettings, machine: Machine, providers: Sequence[str], undecided: Sequence[str] = ()
) -> list[Job]:
    """Return a process for each provider's steps, then one for each number of threads of the CPU.

    The CPU's steps have a process for each of the kernels that are ``undecided``, stock first.
    """
    threads = machine.cores if settings.threads is None else settings.threads
    size = min(settings.weight_bytes, machine.memory_bytes // _MEMORY_SHARE)
    chosen = [name for name in providers if name not in _ELSEWHERE]
    if settings.providers is not None:
        missing = ", ".join(name for name in settings.providers if name not in chosen)
        require(not missing, f"probe: providers: this onnxruntime offers {', '.join(chosen)}", got=missing)
        chosen = list(settings.providers)
    steps = [
        Job(provider=name, threads=threads, graphs=_chains(settings, name, kernels, size), kernels=kernels)
        for name in chosen
        for kernels in (undecided if name == CPU and undecided else (AUTO,))
    ]
    streams = (
        GraphSpec(precision=READER, width=_READER_WIDTH, weight_bytes=size),
        GraphSpec(precision=FP32, width=_STREAM_WIDTH, weight_bytes=size),
    )
    counts = thread_counts(machine.cores) if CPU in chosen else ()
    return steps + [Job(provider=CPU, threads=count, graphs=streams) for count in counts]


def thread_counts(cores: int) -> tuple[int, ...]:
    """Return the numbers of threads to time: all small ones, then wider steps, up to all cores."""
    return (*(count for count in _STEPPED_THREADS if count < cores), cores)


def _chains(settings: ProbeSettings, provider: str, kernels: str, size: int) -> tuple[GraphSpec, ...]:
    """Return the graphs, the smallest first: a provider that refuses it refuses all.

    Own kernels get those alone that have products which they compute.
    """
    unfit = {FP16: provider == CPU, FP32: kernels not in (AUTO, STOCK)}
    names = [name for name in settings.precisions if not unfit.get(name, False)]
    level = FLOAT_PRODUCTS if provider in BROWSERS else INTEGER_PRODUCTS
    chains = (
        GraphSpec(precision=name, width=width, weight_bytes=size, accuracy_level=level)
        for name in names
        for width in settings.widths
    )
    return (SMALLEST, *chains)


def cases(job: Job, opened: Sequence[OpenedGraph], settings: ProbeSettings) -> list[Case]:
    """Return what to time on a worker that opened its graphs.

    No graph follows itself: its weights are out of the cache when its turn comes again. Reading is timed at several
    places of a turn, and the best place counts, since threads and clock frequency have to wake up first.
    """

    def case(kind: str, graph: int, **request: int) -> Case:
        asked = Request(graph=graph, **request)
        return Case(kind=kind, job=job, spec=job.graphs[graph], opened=opened[graph], request=asked)

    good = [graph for graph, each in enumerate(opened) if not each.error]
    if job.graphs[0] != SMALLEST:
        return [case(STREAM, graph, rows=1) for _ in range(_STREAM_TURNS) for graph in good]
    steps = [case(STEP, graph, rows=rows) for rows in settings.rows for graph in good if graph > 0]
    overhead = [case(OVERHEAD, 0, rows=1, runs=5, unmeasured=1)] if job.kernels in (AUTO, STOCK) else []
    return [*overhead, *steps]
