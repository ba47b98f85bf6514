"""Opening a drafter at any draft vocabulary size without copying its body."""

import os

import onnx_ir as ir

from edgedraft.exporter.graphs import load_graph
from edgedraft.exporter.head import trim_head
from edgedraft.exporter.pair import Pair
from edgedraft.runtime.index_map import IndexMap
from edgedraft.runtime.memory import OnnxModel
from edgedraft.runtime.session import open_model


def open_trimmed(pair: Pair, kept: IndexMap) -> OnnxModel:
    """The pair's drafter trimmed to ``kept``, open.

    Its graph holds the new head and borrows the full drafter's data file, so it must lie beside it while it is opened;
    then it is removed.
    """
    model = load_graph(pair.drafter.graph)
    trim_head(model, kept)
    graph = pair.drafter.path / f"trimmed-{kept.draft_vocab_size}-{os.getpid()}.onnx"
    try:
        ir.save(model, graph)
        return open_model(graph, pair.settings)
    finally:
        graph.unlink(missing_ok=True)
