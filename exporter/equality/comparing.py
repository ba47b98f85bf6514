"""Compare a converted fp32 graph with its source model in transformers."""

import gc
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir
import psutil

from edgedraft.devices.machine import usable_cores
from edgedraft.exporter.equality.borders import CHECKED_TOKENS
from edgedraft.exporter.equality.deviation import REPORTED_ABOVE, Deviation, largest_deviation
from edgedraft.exporter.equality.passes import checked_passes
from edgedraft.exporter.equality.reference import checked_ids, source_logits
from edgedraft.exporter.graph.loading import fix_cache_shapes, load_graph
from edgedraft.exporter.graph.rope_switch import note_rope_switch
from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.onnx.providers import pool_threads
from edgedraft.runtime.onnx.session import SessionSettings, open_model

_GRAPH = "model.onnx"
_EXACT = 1e-4  # equal graphs stay below, as a share of the deviation
_SPARE = 1 << 30  # libraries, logits and caches, in bytes
_WHOLE = 1.5  # a model loaded in float32 beside the half as large file that it is read from, in sizes of the fp32 graph


class TooLittleMemoryError(EdgedraftError):
    """Memory is too short to compare a graph with its source, so that nothing is known about it."""


def compare(source: Path, built: Path) -> Deviation:
    """Compare the fp32 graph in the folder ``built`` with the model that transformers loads from ``source``.

    Raises `EdgedraftError` where the runtime cannot open the graph, `TooLittleMemoryError` where memory is too short.
    """
    gc.collect()  # what a converter in this process has left
    limit = int(read_json(built / "genai_config.json")["model"]["context_length"])
    token_ids = checked_ids(source, min(CHECKED_TOKENS, limit))
    graph = load_graph(built / _GRAPH)
    fix_cache_shapes(graph)
    switch = note_rope_switch(graph)
    openable = built / "checked.onnx"
    try:
        ir.save(graph, openable)
        # Some models make constants in their weights' type; what differs is compared with the model in float32.
        found: Deviation | None = None
        for whole in (False, True):
            if whole and (reason := missing_memory(built, whole=True)):
                if found is not None and found.share <= REPORTED_ABOVE:
                    break
                raise TooLittleMemoryError(reason)
            try:
                reference = source_logits(source, token_ids, switch, whole=whole)
            except RuntimeError:
                if whole:
                    raise
                continue
            found = _deviation(openable, reference, token_ids)
            if found.share <= _EXACT:
                break
        assert found is not None  # the second turn sets it or raises
        return found
    finally:
        openable.unlink(missing_ok=True)


def _deviation(graph: Path, reference: Logits, token_ids: Sequence[int]) -> Deviation:
    """Open ``graph``, with its weights mapped from their file, and compare it with ``reference``."""
    threads = pool_threads() or usable_cores()
    settings = SessionSettings(threads=threads, context_length=len(token_ids), huge_pages=False, prepack=False)
    return largest_deviation(reference, checked_passes(open_model(graph, settings), token_ids))


def missing_memory(built: Path, *, whole: bool = False) -> str:
    """Return why memory is too short to compare the model in ``built``; empty where it is enough.

    The source is loaded in its own data type, which takes at most as much memory as the fp32 graph, or with ``whole``
    in float32. It is freed before the graph is opened.
    """
    needed = sum(file.stat().st_size for file in built.glob(f"{_GRAPH}*")) * (_WHOLE if whole else 1) + _SPARE
    free = psutil.virtual_memory().available
    if needed <= free:
        return ""
    return f"comparing it with its source needs {needed / 2**30:.1f} GiB of memory, {free / 2**30:.1f} GiB are free"
