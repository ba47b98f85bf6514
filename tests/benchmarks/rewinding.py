"""Which way of rewinding a hybrid target is cheaper: accepted tokens read again, or the state of every row kept?

    python -m tests.benchmarks.rewinding [--drafts N ...] [--layers N] [--repeats N] [--threads N] [--model FOLDER]

Random numbers in the shapes of Qwen3.5-0.8B's recurrent layers: 18 layers with 16 heads of 128 × 128 numbers. For each
draft length the recurrent operators of one pass run in turn in two graphs: one operator a layer, as now, and one a
row, so that the state after every row is an output. The second graph's extra time is what never reading again would
cost in every pass. With --model, an ONNX folder of a hybrid (`edgedraft export` leaves one in its cache), passes of it
are timed, too: a row that is read again costs the difference of two passes. The cheaper way follows from both.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime

from edgedraft.console import Console
from edgedraft.exporter.graph.loading import MICROSOFT
from edgedraft.runtime.onnx.providers import share_thread_pool
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings

HEADS, WIDTH, LAYERS = 16, 128, 18
BY_ROW = {"query": HEADS * WIDTH, "key": HEADS * WIDTH, "value": HEADS * WIDTH, "decay": HEADS, "beta": HEADS}
CONTEXT = 256


def recurrent_graph(rows: int, layers: int, *, by_row: bool, heads: int = HEADS, width: int = WIDTH) -> ir.Model:
    """Return a graph of ``layers`` recurrent operators over ``rows`` rows; ``by_row`` gives each row's state."""
    sizes = {name: heads * (width if size > HEADS else 1) for name, size in BY_ROW.items()}
    inputs = {name: ir.val(name, ir.DataType.FLOAT, ir.Shape([1, rows, size])) for name, size in sizes.items()}
    shape = ir.Shape([1, heads, width, width])
    pasts = [ir.val(f"past.{layer}", ir.DataType.FLOAT, shape) for layer in range(layers)]
    nodes: list[ir.Node] = []
    cuts = [_row(nodes, inputs, row) for row in range(rows)] if by_row else [list(inputs.values())]
    outputs: list[ir.Value] = []
    for layer, past in enumerate(pasts):
        state = past
        for place, (query, key, value, decay, beta) in enumerate(cuts):
            node = ir.node(
                "LinearAttention",
                [query, key, value, state, decay, beta],
                {"q_num_heads": heads, "kv_num_heads": heads, "update_rule": "gated_delta", "scale": width**-0.5},
                domain=MICROSOFT,
                num_outputs=2,
            )
            nodes.append(node)
            state = node.outputs[1]
            for output, what in zip(node.outputs, ("rows", "state"), strict=True):
                output.name, output.dtype = f"{what}.{layer}.{place}", ir.DataType.FLOAT
            node.outputs[0].shape = ir.Shape([1, rows // len(cuts), heads * width])
            node.outputs[1].shape = shape
            outputs += node.outputs
    graph = ir.Graph(
        [*inputs.values(), *pasts], outputs, nodes=nodes, opset_imports={"": 21, MICROSOFT: 1}, name="recurrent"
    )
    for node in nodes:  # the numbers of a slice are constants
        for each in node.inputs:
            if each is not None and each.const_value is not None and each.name not in graph.initializers:
                graph.register_initializer(each)
    return ir.Model(graph, ir_version=10)


def _row(nodes: list[ir.Node], inputs: dict[str, ir.Value], row: int) -> list[ir.Value]:
    """Cut one row out of every input."""
    start, end, axis = (
        ir.val(name, const_value=ir.tensor(np.array([number], np.int64), name=name))
        for name, number in ((f"start.{row}", row), (f"end.{row}", row + 1), (f"axis.{row}", 1))
    )
    made = [ir.node("Slice", [value, start, end, axis]) for value in inputs.values()]
    nodes += made
    return [node.outputs[0] for node in made]


def opened(model: ir.Model) -> Callable[[], list[np.ndarray]]:
    """Return a pass of the graph over random numbers, which stay the same."""
    options = onnxruntime.SessionOptions()
    options.use_per_session_threads, options.log_severity_level = False, 3
    session = onnxruntime.InferenceSession(
        ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(0)
    shapes = {value.name: value.shape for value in session.get_inputs()}
    feed = {name: 0.1 * rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    feed["decay"] = -np.abs(feed["decay"])
    return lambda: list(session.run(None, feed))


def in_turn(passes: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median milliseconds of each of ``passes``, run in turn; the first turn does not count."""
    seconds: list[list[float]] = [[] for _ in passes]
    for _ in range(repeats + 1):
        for taken, run in zip(seconds, passes, strict=True):
            started = time.perf_counter()
            run()
            taken.append(time.perf_counter() - started)
    return [1e3 * float(np.median(taken[1:])) for taken in seconds]


def model_milliseconds(graph: OnnxGraph, rows: Sequence[int], repeats: int) -> list[float]:
    """Return the milliseconds of passes of a whole model over so many rows, after a short text."""
    model = graph.new_model()
    model.read(list(range(64)))

    def read(count: int) -> None:
        model.read(list(range(count)))
        model.rewind(64)

    return in_turn([lambda count=count: read(count) for count in rows], repeats)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drafts", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    share_thread_pool(options.threads)
    settings = SessionSettings(threads=options.threads, context_length=CONTEXT)
    graph = OnnxGraph(options.model / "model.onnx", settings) if options.model else None
    rows = []
    for drafts in options.drafts:
        whole, apart = (opened(recurrent_graph(drafts + 1, options.layers, by_row=by_row)) for by_row in (False, True))
        now, kept = in_turn([whole, apart], options.repeats)
        cells = ["", ""]
        if graph is not None:
            verify, more = model_milliseconds(graph, (drafts + 1, 2 * drafts), options.repeats)
            again = (more - verify) / max(drafts - 1, 1)
            cells = [f"{verify:.2f}", f"{again:.3f}"]
        rows.append((str(drafts), f"{now:.2f}", f"{kept:.2f}", f"{kept - now:+.2f}", *cells))
    header = ("drafts", "one operator a layer, ms", "one a row, ms", "more in every pass, ms")
    Console().table((*header, "target's pass, ms", "a row read again, ms"), rows)


if __name__ == "__main__":
    main()
