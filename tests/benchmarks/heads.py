"""The matrix of heads: family x head shape x precision x layout, trimmed and compared bit for bit with the full model.

    python -m tests.benchmarks.heads [--families Llama ...] [--precisions fp32 ...] [--sizes 64 192] [--json FILE]

From the checkout's root. Every family is a tiny random model out of onnxruntime-genai's model builder (GPT-2 out of
torch), in every precision that users can name and in fp16. "as built" is the head that it came with, tied where the
family ties and the precision keeps it so; the others are put in its place. A cell tells `reduced / expanded`: yes, or
the largest difference found.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
import onnxruntime

from edgedraft.console import Console
from edgedraft.devices.machine import this_machine
from edgedraft.exporter.graph.loading import vocabulary_width
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import PRECISIONS, precision_named
from edgedraft.runtime.base.files import write_json
from edgedraft.runtime.base.records import to_plain
from edgedraft.runtime.base.tables import markdown_table
from tests.exporter.families import FAMILIES, GPT2, HIDDEN, build, feed, open_family
from tests.exporter.graph.heads.matrix import LAYOUTS, differences, random_map
from tests.exporter.graph.heads.shapes import SHAPES, swap_head

FLOAT, HALF, BUILDER, AS_BUILT = "fp32", "fp16", "builder's int4", "as built"
ROWS = (1, 2, 3, 8, 17)
ALL_PRECISIONS = (*PRECISIONS, HALF, BUILDER)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The largest difference of one cell; 0 means that all bits are the same."""

    family: str
    shape: str
    precision: str
    layout: str
    difference: float


def maker(family: str, shape: str, precision: str, folder: Path) -> Callable[[], ir.Model]:
    """Makes the full model of a cell, anew each time: trimming changes it."""

    def make() -> ir.Model:
        model = packed(family, precision, folder)
        return model if shape == AS_BUILT else swap_head(model, shape, HIDDEN)

    return make


def packed(family: str, precision: str, folder: Path) -> ir.Model:
    """The family's model in a precision."""
    if precision in (HALF, BUILDER):
        return open_family(build(family, folder, "fp16" if precision == HALF else "int4"))
    model = open_family(build(family, folder))
    pack_model(model, precision_named(precision))
    return model


def opened(model: ir.Model) -> onnxruntime.InferenceSession:
    """The model in ONNX Runtime on the processor."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    source = ir.to_proto(model).SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def wanted(families: Sequence[str], precisions: Sequence[str]) -> list[tuple[str, str, str]]:
    """Family, shape and precision of every cell there is; GPT-2 is traced in float, and its layers cannot be packed."""
    return [
        (family, shape, precision)
        for family in families
        for shape in (AS_BUILT, *SHAPES)
        for precision in precisions
        if family != GPT2 or precision == FLOAT
    ]


def measured(case: tuple[str, str, str], sizes: Sequence[int], folder: Path) -> Iterator[Cell]:
    """The cells of one case, over all sizes and numbers of rows."""
    family, shape, precision = case
    make = maker(family, shape, precision, folder)
    model = make()
    feeds = [feed(model, rows) for rows in ROWS]
    each = [differences(make, random_map(size, vocabulary_width(model), seed=size), feeds, opened) for size in sizes]
    for layout in LAYOUTS:
        largest = max(found[layout] for found in each)
        yield Cell(family=family, shape=shape, precision=precision, layout=layout, difference=largest)


def table(cells: Sequence[Cell], precisions: Sequence[str]) -> list[str]:
    """One line for each family and shape, one column for each precision."""
    by_key = {(cell.family, cell.shape, cell.precision, cell.layout): cell.difference for cell in cells}
    lines = dict.fromkeys((cell.family, cell.shape) for cell in cells)
    rows = [
        (*line, *(" / ".join(told(by_key.get((*line, name, layout))) for layout in LAYOUTS) for name in precisions))
        for line in lines
    ]
    return markdown_table(("family", "head", *precisions), rows)


def told(difference: float | None) -> str:
    """A difference in words."""
    return "–" if difference is None else "yes" if difference == 0 else f"{difference:.0e}"


def main() -> None:
    """Measure every cell, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--precisions", nargs="+", choices=ALL_PRECISIONS, default=list(ALL_PRECISIONS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[192])
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    console, started = Console(), time.perf_counter()
    cases, cells = wanted(options.families, options.precisions), []
    with tempfile.TemporaryDirectory() as folder:
        for done, case in enumerate(cases, start=1):
            cells += measured(case, options.sizes, Path(folder))
            console.progress("heads", done, len(cases))
    seconds = time.perf_counter() - started
    console.say("\n".join(table(cells, options.precisions)))
    equal = sum(cell.difference == 0 for cell in cells)
    where = f"{this_machine().name}, onnxruntime {onnxruntime.__version__}"
    console.say(f"{equal} of {len(cells)} equal bit for bit; {seconds:.0f} s on {where}")
    if options.json:
        write_json(options.json, to_plain({"cells": cells, "seconds": seconds, "sizes": options.sizes}))


if __name__ == "__main__":
    main()
