"""Choose the fast tests: those that need no model, no child process and no session.

A test is fast by what it uses, so that nobody has to mark it: its module imports nothing of `HEAVY_MODULES`, in the
module or in a function, and neither it nor its fixtures ask for one of `HEAVY_FIXTURES`.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

HEAVY_MODULES = {
    "multiprocessing": "it starts processes",
    "subprocess": "it starts processes",
    "edgedraft.calibration.process_engine": "it starts processes",
    "edgedraft.calibration.ray_engine": "it starts a cluster",
    "onnx": "it builds graphs",
    "onnx_ir": "it builds graphs",
    "onnxruntime": "it opens sessions",
    "onnxruntime_genai": "it opens models",
    "torch": "loading it takes seconds",
    "transformers": "loading it takes seconds",
    "edgedraft.exporter.models.fetch": "it starts pip",
    "edgedraft.exporter.planning.figures": "drawing takes seconds",
    "edgedraft.exporter.planning.joint_search": "its searches take seconds",
    "edgedraft.exporter.planning.pictures": "drawing takes seconds",
    "edgedraft.exporter.planning.search": "its searches take seconds",
    "edgedraft.runtime.engine": "it opens sessions",
    "edgedraft.runtime.onnx": "it opens sessions",
    "tests.exporter.families": "it converts models",
    "tests.exporter.forms": "it converts models",
}
HEAVY_FIXTURES = {
    "tiny_pair": "a model that is converted first",
    "wheel": "a child process builds it",
    "graphs": "graphs that run in ONNX Runtime",
    "ledger": "a graph that runs in ONNX Runtime",
    "in_child": "a child process",
    "library": "a compiler builds it first",
}


def is_fast(path: Path, fixtures: Iterable[str]) -> bool:
    """Return whether a test of this module that uses these fixtures, their own fixtures among them, is fast."""
    return not (imported(path) or HEAVY_FIXTURES.keys() & set(fixtures))


@cache
def imported(path: Path) -> frozenset[str]:
    """Return what of `HEAVY_MODULES` a test module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(heavy for heavy in HEAVY_MODULES if any(f"{name}.".startswith(f"{heavy}.") for name in names))
