"""What own kernels gain: passes of a model over few rows with own and with stock kernels, interleaved in one process.

    python tests/benchmarks/kernels.py MODEL.onnx|BUNDLE [--drafter] [--rows 1 2 3 4 8] [--prefill 512] [--repeats 15]
        [--context 128] [--ways own stock]

"products" has own products with onnxruntime's attention. Beside the times stand their ratios to one row, and what one
step takes over the floor: the bytes of the weights that it reads, at the bandwidth at which this run read memory. That
may change within minutes, so numbers of different runs do not compare.
"""

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np

from edgedraft.console import Console
from edgedraft.devices.machine import usable_cores
from edgedraft.exporter.graph.loading import load_graph, model_size
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.statistics import median_interval
from edgedraft.runtime.onnx import kernel_choice
from edgedraft.runtime.onnx.session import SessionSettings, open_model

OWN, PRODUCTS, STOCK = "own", "products", "stock"
WAYS = (OWN, PRODUCTS, STOCK)
FLOATS = 1 << 25


def graph_of(path: Path, drafter: bool) -> Path:
    if path.suffix == ".onnx":
        return path
    bundle = read_bundle(path, verify_hashes=False)
    return bundle.drafter_graph if drafter else bundle.target_graph


@contextmanager
def stock_attention() -> Iterator[None]:
    """Open sessions with onnxruntime's attention in the block."""
    with patch.object(kernel_choice, "why_stock_attention", lambda path: "asked for"):
        yield


def opened(graph: Path, way: str, context_length: int, kernels: str):
    settings = SessionSettings(
        threads=usable_cores(), context_length=context_length, kernels="stock" if way == STOCK else kernels
    )
    with stock_attention() if way == PRODUCTS else nullcontext():
        return open_model(graph, settings)


def read_bandwidth(arrays, pool) -> float:
    """Return the bytes that all cores read a second, in GB/s."""
    start = time.perf_counter()
    list(pool.map(np.max, arrays))  # `@` would start threads of its own
    return 4e-9 * FLOATS * len(arrays) / (time.perf_counter() - start)


def seconds_of(model, context, tokens) -> float:
    """Time a pass over ``tokens`` behind ``context`` tokens."""
    model.rewind(context)
    start = time.perf_counter()
    model.read(tokens)
    return time.perf_counter() - start


def measured(models, context, rows, repeats, progress):
    """Return seconds by kernels and rows, and bandwidths, all taken in turn."""
    tokens = [int(token) for token in np.random.default_rng(0).integers(100, 1000, context + max(rows))]
    for model in models.values():
        model.read(tokens[:context])
    seconds = {(name, count): [] for name in models for count in rows}
    cores, bandwidths = usable_cores(), []
    arrays = [np.ones(FLOATS, np.float32) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        for repeat in range(repeats + 1):
            bandwidth = read_bandwidth(arrays, pool)
            # Alternating which goes first keeps a drift of the machine from favouring one.
            for name in sorted(models, reverse=bool(repeat % 2)):
                for count in rows:
                    taken = seconds_of(models[name], context, tokens[:count])
                    if repeat:  # the first round warms up
                        seconds[name, count].append(taken)
            bandwidths += [bandwidth] if repeat else []
            progress("rounds", repeat, repeats)
    return seconds, bandwidths


def shown(values, scale=1.0) -> str:
    low, middle, high = np.percentile(np.array(values) * scale, (25, 50, 75))
    return f"{middle:.1f} [{low:.1f}–{high:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 2, 3, 4, 8])
    parser.add_argument("--prefill", type=int, help="rows of a long pass, beside the short ones")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--kernels", default="auto", help="own kernels (default: the CPU's best)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[OWN, STOCK], help="the first is compared with all")
    parser.add_argument("--context", type=int, default=128, help="tokens before the pass")
    parser.add_argument("--drafter", action="store_true", help="of a bundle: its drafter, not its target")
    options = parser.parse_args()
    console, graph = Console(), graph_of(options.model, options.drafter)
    rows = [*options.rows, *([options.prefill] if options.prefill else [])]
    ways, context_length = dict.fromkeys(options.ways), options.context + max(rows) + 1
    models = {way: opened(graph, way, context_length, options.kernels) for way in ways}
    seconds, bandwidths = measured(models, options.context, rows, options.repeats, console.progress)
    first, *others = ways
    table = []
    for count in rows:
        taken = {way: seconds[way, count] for way in ways}
        ratios = [f"{np.median(taken[way]) / np.median(seconds[way, rows[0]]):.2f}" for way in ways]
        table.append(
            (str(count), *(shown(each, 1e3) for each in taken.values()), *ratios, *gains(taken, first, others))
        )
    names = (*(f"ms {way}" for way in ways), *(f"v {way}" for way in ways), *(f"{first} ÷ {way}" for way in others))
    console.table(("rows", *names), table)
    read, bandwidth = model_size(load_graph(graph)).weight_bytes, float(np.median(bandwidths))
    floor = read / bandwidth / 1e6
    over = ", ".join(f"{way} {np.median(seconds[way, rows[0]]) * 1e3 / floor:.2f}×" for way in ways)
    console.say(
        f"a step reads {read / 1e6:.0f} MB; memory was read at {shown(bandwidths)} GB/s: {floor:.1f} ms at least; "
        f"{rows[0]} rows take {over} of that. Quartiles in brackets."
    )


def gains(taken, first: str, others) -> list[str]:
    """Return how many times as fast the first way was as each other, pass by pass."""
    found = (
        median_interval([slow / fast for fast, slow in zip(taken[first], taken[way], strict=True)]) for way in others
    )
    return [gain.text(2, "×") for gain in found]


if __name__ == "__main__":
    main()
