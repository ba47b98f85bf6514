"""What own kernels gain: passes of a model over few rows with own and with stock kernels, interleaved in one process.

    python tests/benchmarks/kernels.py MODEL.onnx|BUNDLE [--rows 1 2 3 4 8] [--prefill 512] [--repeats 15]

Beside the times stand their ratios to one row, and the bandwidth at which this run copied memory: it may change within
minutes, so numbers of different runs do not compare.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from edgedraft.console import Console
from edgedraft.devices.machine import usable_cores
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.statistics import median_interval
from edgedraft.runtime.onnx.session import SessionSettings, open_model

OWN, STOCK = "auto", "stock"
CONTEXT, COPY_BYTES = 128, 1 << 27


def graph_of(path: Path) -> Path:
    return path if path.suffix == ".onnx" else read_bundle(path, verify_hashes=False).target_graph


def copy_bandwidth(arrays, pool) -> float:
    """Return the bytes that all cores read and wrote a second while they copied ``arrays``, in GB/s."""
    start = time.perf_counter()
    list(pool.map(lambda pair: np.copyto(*pair), arrays))
    return 2e-9 * COPY_BYTES * len(arrays) / (time.perf_counter() - start)


def seconds_of(model, tokens) -> float:
    """Time a pass over ``tokens`` behind a short context."""
    model.rewind(CONTEXT)
    start = time.perf_counter()
    model.read(tokens)
    return time.perf_counter() - start


def measured(models, rows, repeats, progress):
    """Return seconds by kernels and rows, and copy bandwidths, all taken in turn."""
    tokens = [int(token) for token in np.random.default_rng(0).integers(100, 1000, CONTEXT + max(rows))]
    for model in models.values():
        model.read(tokens[:CONTEXT])
    seconds = {(name, count): [] for name in models for count in rows}
    cores, bandwidths = usable_cores(), []
    arrays = [(np.empty(COPY_BYTES, np.uint8), np.ones(COPY_BYTES, np.uint8)) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        for repeat in range(repeats + 1):
            bandwidth = copy_bandwidth(arrays, pool)
            # Alternating which goes first keeps a drift of the machine from favouring one.
            for name in sorted(models, reverse=bool(repeat % 2)):
                for count in rows:
                    taken = seconds_of(models[name], tokens[:count])
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
    parser.add_argument("--kernels", default=OWN, help="own kernels to compare with stock (default: the CPU's best)")
    options = parser.parse_args()
    console, graph = Console(), graph_of(options.model)
    rows = [*options.rows, *([options.prefill] if options.prefill else [])]
    models = {
        name: open_model(
            graph, SessionSettings(threads=usable_cores(), context_length=CONTEXT + max(rows), kernels=kernels)
        )
        for name, kernels in (("own", options.kernels), ("stock", STOCK))
    }
    seconds, bandwidths = measured(models, rows, options.repeats, console.progress)
    table = []
    for count in rows:
        own, stock = seconds["own", count], seconds["stock", count]
        gain = median_interval([slow / fast for fast, slow in zip(own, stock, strict=True)])
        ratios = [f"{np.median(seconds[name, count]) / np.median(seconds[name, rows[0]]):.2f}" for name in models]
        gained = gain.text(2, "×")
        table.append((str(count), shown(own, 1e3), shown(stock, 1e3), *ratios, gained))
    console.table(("rows", "ms own", "ms stock", "v own", "v stock", "gain"), table)
    console.say(f"copied {shown(bandwidths)} GB/s; quartiles in brackets")


if __name__ == "__main__":
    main()
