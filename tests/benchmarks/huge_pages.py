"""What huge pages under the weights gain: a bundle's target, opened with them and without, A B A B, a process each.

    python tests/benchmarks/huge_pages.py BUNDLE [--turns N]

A process each, because neighbouring mappings merge: in one process both models would end on huge pages.
"""

import argparse
import multiprocessing
import time
from pathlib import Path

from edgedraft.console import Console
from edgedraft.devices.machine import usable_cores
from edgedraft.devices.steps import StepCase, measure_steps
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.statistics import median_interval
from edgedraft.runtime.onnx.session import SessionSettings, open_model

ROWS = (1, 2, 4, 8)
REPEATS = 20


def step_milliseconds(graph: Path, huge_pages: bool) -> list[float]:
    """Median milliseconds of a pass over each of ``ROWS``."""
    settings = SessionSettings(threads=usable_cores(), context_length=256, huge_pages=huge_pages)
    cases = [StepCase(model="model", role="model", weight_bytes=1, rows=rows) for rows in ROWS]
    steps = measure_steps(
        {"model": open_model(graph, settings)}, cases, list(range(100, 228)), time.perf_counter, REPEATS
    )
    return [1e3 * step.seconds for step in steps]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--turns", type=int, default=4)
    options = parser.parse_args()
    console = Console()
    graph = read_bundle(options.bundle, verify_hashes=False).target_graph
    turns: dict[bool, list[list[float]]] = {False: [], True: []}
    for turn in range(options.turns):
        for huge_pages in turns:
            with multiprocessing.get_context("spawn").Pool(1) as fresh:
                turns[huge_pages].append(fresh.apply(step_milliseconds, (graph, huge_pages)))
        console.progress("turns", turn + 1, options.turns)
    rows = []
    for place, count in enumerate(ROWS):
        without, within = ([turn[place] for turn in turns[huge_pages]] for huge_pages in (False, True))
        ratio = median_interval([slow / fast for slow, fast in zip(without, within, strict=True)])
        gain = ratio.text(2, "×")
        rows.append((str(count), median_interval(without).text(1), median_interval(within).text(1), gain))
    console.table(("rows", "ms without", "ms with huge pages", "gain"), rows)


if __name__ == "__main__":
    main()
