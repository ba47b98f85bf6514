"""A drafter at any draft vocabulary size: opened without copying its body, or written in both layouts."""

import os
from pathlib import Path

import onnx_ir as ir

from edgedraft.exporter.graph.expanded import expand_logits
from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.graph.needs import require_bindable
from edgedraft.exporter.graph.preparing import prepare
from edgedraft.exporter.graph.providers import CPU, DRAFTER, PROVIDERS, Provider
from edgedraft.exporter.graph.sharding import save_in_shards
from edgedraft.exporter.models.pair import Pair
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.session import OnnxGraph

REDUCED_NAME, DATA_NAME, EXPANDED_NAME = "model.onnx", "model.onnx.data", "expanded.onnx"

_TRIMMED = ".trimmed"


def open_trimmed(pair: Pair, kept: IndexMap) -> OnnxModel:
    """The pair's drafter trimmed to ``kept``, open, with a memory of its own."""
    return trimmed_graph(pair, kept).new_model()


def trimmed_graph(pair: Pair, kept: IndexMap) -> OnnxGraph:
    """The pair's drafter trimmed to ``kept``, loaded.

    Its graph holds the new head and borrows the full drafter's data file, so it must lie beside it while it is opened;
    then it is removed.
    """
    model = load_graph(pair.drafter.graph)
    trim_head(model, kept)
    graph = pair.drafter.path / f"trimmed-{kept.draft_vocab_size}-{os.getpid()}.onnx"
    try:
        ir.save(model, graph)
        return OnnxGraph(graph, pair.settings)
    finally:
        graph.unlink(missing_ok=True)


def write_trimmed(
    model: ir.Model, rows: IndexMap, kept: IndexMap, folder: Path, provider: Provider = PROVIDERS[CPU]
) -> None:
    """Trim ``model`` to ``rows`` of its own logits, in place, and write it: reduced, its data, and expanded over it.

    ``kept`` maps the rows that stay to the target's ids; it is ``rows`` itself unless the model was trimmed before.
    Raises `EdgedraftError` before anything is written where ``provider`` cannot hold a weight.
    """
    trim_for(model, rows, provider)
    save_in_shards(model, folder / REDUCED_NAME, DATA_NAME, provider.data_file_bytes)
    expanded = load_graph(folder / REDUCED_NAME)
    expand_logits(expanded, kept)
    ir.save(expanded, folder / EXPANDED_NAME)


def trim_for(model: ir.Model, rows: IndexMap, provider: Provider) -> None:
    """Trim and prepare ``model``, in place; refused where ``provider`` cannot hold a weight of the result."""
    prepare(model, provider)
    trim_head(model, rows)
    _forget_earlier_trims(model)
    require_bindable(model, DRAFTER, provider)


def _forget_earlier_trims(model: ir.Model) -> None:
    """A weight that was trimmed twice is named like one trimmed once, so that both ways to a size give one file."""
    for value in list(model.graph.initializers.values()):
        name = str(value.name)
        while name.endswith(2 * _TRIMMED) and name.removesuffix(_TRIMMED) not in model.graph.initializers:
            name = name.removesuffix(_TRIMMED)
        if name != value.name:
            value.name = name
