"""Child process of the probe: opens graphs with a thread pool of one size and times passes as it is asked.

Usage: python -m edgedraft.devices.probing.worker, JSON lines in and out. The first line in is a `Job`; for each of its
graphs comes an `OpenedGraph`, then for every `TimingTurn` a list of seconds for each of its requests. A whole turn is
one line, so that no other process wakes up on these cores while it lasts. The input's end ends the process.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

import numpy as np

from edgedraft.devices.probing.graphs import GraphSpec, build_chain, build_reader, input_dtype
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.kernel_names import NOT_RECORDED
from edgedraft.runtime.base.records import from_plain, require, to_plain
from edgedraft.runtime.core.model import Clock
from edgedraft.runtime.native.library import AUTO
from edgedraft.runtime.onnx.huge_pages import huge_pages_under_new_memory
from edgedraft.runtime.onnx.kernel_choice import setting_or_auto
from edgedraft.runtime.onnx.session import BoundPass, PlainGraph, SessionSettings

READER = "reader"
"""The precision of a `GraphSpec` that asks for reading alone; ``width`` is then the length of a row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A request to the worker: open these graphs on ``provider`` with ``threads`` threads.

    ``kernels`` compute the products of the graphs that they can compute; "auto" leaves the choice to each session.
    """

    provider: str
    threads: int
    graphs: tuple[GraphSpec, ...]
    kernels: str = AUTO


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedGraph:
    """The result of opening a graph: its size, the kernels that compute its products, or why it failed (``error``)."""

    layers: int = 0
    weight_bytes: int = 0
    kernels: str = NOT_RECORDED
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Run graph number ``graph`` over ``rows`` rows ``runs`` times; the first ``unmeasured`` runs are not timed."""

    graph: int
    rows: int
    runs: int = 1
    unmeasured: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TimingTurn:
    """Requests to time one after the other; those not begun after ``seconds`` are left out of the answer."""

    requests: tuple[Request, ...]
    seconds: float


Bind = Callable[[int], BoundPass]


def serve(lines: TextIO, answers: TextIO, clock: Clock) -> None:
    """Answer until ``lines`` ends."""

    def answer(value: object) -> None:
        answers.write(json.dumps(to_plain(value)) + "\n")
        answers.flush()

    job = from_plain(Job, json.loads(lines.readline()), "job")
    settings = SessionSettings(threads=job.threads, provider=job.provider, huge_pages=False, kernels=job.kernels)
    graphs: list[Bind | None] = []
    with huge_pages_under_new_memory():  # once for all: what one graph leaves free the next one takes
        for spec in job.graphs:
            bind, opened = _open(spec, settings)
            graphs.append(bind)
            answer(opened)
    passes: dict[tuple[int, int], BoundPass] = {}
    for line in lines:
        turn = from_plain(TimingTurn, json.loads(line), "turn")
        ends, taken = clock() + turn.seconds, []
        for request in turn.requests:
            if clock() >= ends:
                break
            taken.append(_timed(_bound(passes, graphs, request), request, clock))
        answer(taken)


def _bound(passes: dict[tuple[int, int], BoundPass], graphs: Sequence[Bind | None], request: Request) -> BoundPass:
    """Return the request's pass; the first time it is bound and run once, uncounted."""
    place, bind = (request.graph, request.rows), graphs[request.graph]
    require(bind is not None, "probe: asked for a graph that could not be opened", got=request.graph)
    if place not in passes:
        assert bind is not None
        passes[place] = bind(request.rows)
        passes[place].run()
    return passes[place]


def _open(spec: GraphSpec, settings: SessionSettings) -> tuple[Bind | None, OpenedGraph]:
    """Open a graph; return its passes by rows, or None and the reason where the provider refuses it."""
    try:
        if spec.precision == READER:
            return _opened_reader(spec, settings)
        chain = build_chain(spec)
        graph = _loaded(chain.graph, settings)
    except EdgedraftError as error:
        return None, OpenedGraph(error=str(error))
    dtype, rng = input_dtype(spec.precision), np.random.default_rng(1)

    def bind(rows: int) -> BoundPass:
        return graph.bind(rng.standard_normal((rows, spec.width), dtype=np.float32).astype(dtype))

    return bind, OpenedGraph(layers=chain.layers, weight_bytes=chain.weight_bytes, kernels=graph.kernels.name)


def _opened_reader(spec: GraphSpec, settings: SessionSettings) -> tuple[Bind, OpenedGraph]:
    """Open the graph that only reads: what is read is the input itself."""
    graph = _loaded(build_reader(), settings)
    values = np.ones((spec.weight_bytes // (4 * spec.width), spec.width), dtype=np.float32)
    return lambda rows: graph.bind(values), OpenedGraph(layers=1, weight_bytes=values.nbytes)


def _loaded(graph: bytes, settings: SessionSettings) -> PlainGraph:
    """Open the graph from a file, of which ONNX Runtime keeps nothing beside the weights."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        path.write_bytes(graph)
        return PlainGraph(path, replace(settings, kernels=setting_or_auto(path, settings.provider, settings.kernels)))


def _timed(bound: BoundPass, request: Request, clock: Clock) -> list[float]:
    for _ in range(request.unmeasured):
        bound.run()
    seconds = []
    for _ in range(request.runs):
        started = clock()
        bound.run()
        seconds.append(clock() - started)
    return seconds


def _own_output() -> Any:
    """Return standard output for answers alone: whatever native code prints goes to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


if __name__ == "__main__":
    serve(sys.stdin, _own_output(), time.perf_counter)
