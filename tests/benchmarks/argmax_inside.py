"""Does choosing inside the graph pay? Logits chosen from in numpy against graphs that give ids, pass by pass, A B A B.

    python tests/benchmarks/argmax_inside.py BUNDLE [--repeats N]

Inside means: ArgMax, for the drafter also the index map, appended to the bundle's own graphs. Both variants of a graph
are open at once over one data file and read the same tokens; for the drafter one row, for the target one and four.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime

from edgedraft.console import Console
from edgedraft.exporter.graph.loading import LOGITS, add_constant, load_graph, output_named
from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.statistics import median_interval
from edgedraft.runtime.core.verify import greedy_choices
from edgedraft.runtime.onnx.memory import PassBuffers, bind_pass, bound, cache_buffers
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings

CONTEXT, READ = 256, 128
IDS = "chosen_ids"


def with_choice_inside(path: Path, target_ids: np.ndarray | None) -> Path:
    """A sibling of the graph over the same data, whose only new output are the chosen ids."""
    model = load_graph(path)
    logits = output_named(model, LOGITS)
    best = ir.node("ArgMax", [logits], {"axis": -1, "keepdims": 0}, name="choose/ArgMax")
    model.graph.append(best)
    chosen = best.outputs[0]
    if target_ids is not None:
        ids = add_constant(model.graph, "choose.target_ids", target_ids)
        mapped = ir.node("Gather", [ids, chosen], name="choose/Gather")
        model.graph.append(mapped)
        chosen = mapped.outputs[0]
    chosen.name, chosen.dtype, chosen.shape = IDS, ir.DataType.INT64, ir.Shape([1, "rows"])
    model.graph.outputs[next(i for i, value in enumerate(model.graph.outputs) if value is logits)] = chosen
    sibling = path.with_name(f"choosing-{os.getpid()}.onnx")
    ir.save(model, sibling)
    return sibling


class Ways:
    """One graph, opened as it is and with the choice inside; each way chooses the tokens after the same pass."""

    def __init__(self, path: Path, target_ids: np.ndarray | None, settings: SessionSettings) -> None:
        self.graph, self._map = OnnxGraph(path, settings), target_ids
        sibling = with_choice_inside(path, target_ids)
        try:
            options = onnxruntime.SessionOptions()
            options.use_per_session_threads = False
            self._choosing = onnxruntime.InferenceSession(str(sibling), options, providers=["CPUExecutionProvider"])
        finally:
            sibling.unlink()
        self._buffers = cache_buffers(self.graph, 1, CONTEXT)
        self._outside = bound(self.graph, self._buffers)
        self._inside = bound(_Opened(self._choosing, self.graph), self._buffers)

    def outside(self, one: PassBuffers) -> Callable[[], list[int]]:
        bind_pass(self._outside, self.graph.feeds, one)

        def run() -> list[int]:
            self.graph.session.run_with_iobinding(self._outside)
            chosen = greedy_choices(one.logits)
            return chosen if self._map is None else [int(self._map[each]) for each in chosen]

        return run

    def inside(self, one: PassBuffers) -> Callable[[], list[int]]:
        ids = np.zeros(one.ids.shape, dtype=np.int64)
        for name, array in (("input_ids", one.ids), ("attention_mask", one.mask), ("position_ids", one.positions)):
            if name in self.graph.feeds:
                self._inside.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self._inside.bind_output(IDS, "cpu", 0, ids.dtype, ids.shape, ids.ctypes.data)

        def run() -> list[int]:
            self._choosing.run_with_iobinding(self._inside)
            return [int(each) for each in ids[0]]

        return run


class _Opened:
    """A session that has the caches of another graph."""

    def __init__(self, session: onnxruntime.InferenceSession, like: OnnxGraph) -> None:
        self.session, self.caches, self.feeds, self.vocab_size = session, like.caches, like.feeds, like.vocab_size


def laid_out(graph: OnnxGraph, rows: int) -> PassBuffers:
    ids = np.arange(100, 100 + rows, dtype=np.int64)[None]
    return PassBuffers(
        ids=ids,
        mask=np.ones((1, READ + rows), dtype=np.int64),
        positions=np.arange(READ, READ + rows, dtype=np.int64)[None],
        logits=np.empty((rows, graph.vocab_size), dtype=np.float32),
    )


def compared(ways: Ways, rows: int, repeats: int) -> tuple[Interval, Interval, Interval]:
    """Milliseconds outside and inside, and the ratio, turn by turn."""
    one = laid_out(ways.graph, rows)
    runs = ways.outside(one), ways.inside(one)
    assert runs[0]() == runs[1](), "both ways must choose alike"
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(2 * repeats):
        started = time.perf_counter()
        runs[turn % 2]()
        taken[turn % 2].append(1e3 * (time.perf_counter() - started))
    return (
        median_interval(taken[0]),
        median_interval(taken[1]),
        median_interval([a / b for a, b in zip(*taken, strict=True)]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--repeats", type=int, default=100)
    options = parser.parse_args()
    bundle = read_bundle(options.bundle, verify_hashes=False)
    settings = SessionSettings(threads=bundle.manifest.plan.threads, context_length=CONTEXT)
    table = []
    for name, path, ids, counts in (
        ("drafter", bundle.drafter_graph, bundle.index_map.target_ids, (1,)),
        ("target", bundle.target_graph, None, (1, 4)),
    ):
        ways = Ways(path, ids, settings)
        for rows in counts:
            outside, inside, ratio = compared(ways, rows, options.repeats)
            shown = (f"{each.value:.3f} [{each.low:.3f}, {each.high:.3f}]" for each in (outside, inside, ratio))
            table.append((name, str(rows), *shown))
    Console().table(("graph", "rows", "ms, chosen outside", "ms, chosen inside", "outside ÷ inside"), table)


if __name__ == "__main__":
    main()
