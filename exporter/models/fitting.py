"""Open a drafter that was trimmed or fitted in memory; its weights are read from the full drafter's data file."""

from pathlib import Path

import onnx_ir as ir

from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.head_rows import tap_head
from edgedraft.exporter.graph.loading import load_graph, vocabulary_width
from edgedraft.exporter.graph.widths import fit_drafter, head_rows, limit_token_ids
from edgedraft.runtime.base.errors import unwritable_is_users
from edgedraft.runtime.base.siblings import temporary_file
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings


def open_fitted(graph: Path, vocab_size: int, settings: SessionSettings) -> OnnxGraph:
    """Load a full drafter with logits as wide as its target's vocabulary."""
    model = load_graph(graph)
    if vocabulary_width(model) == vocab_size:
        return OnnxGraph(graph, settings)
    fit_drafter(model, vocab_size)
    return _open_beside(graph, model, f"fitted-{vocab_size}", settings)


def open_cut(graph: Path, kept: IndexMap, settings: SessionSettings, *, tapped: bool = False) -> OnnxGraph:
    """Load a full drafter, trimmed to the target's tokens in ``kept``; ``tapped`` adds what its head reads."""
    model = load_graph(graph)
    width = vocabulary_width(model)
    if tapped:
        tap_head(model)
    trim_head(model, head_rows(kept, width))
    limit_token_ids(model, width, kept.target_vocab_size)
    name = f"{'tapped' if tapped else 'trimmed'}-{kept.draft_vocab_size}"
    return _open_beside(graph, model, name, settings)


def _open_beside(graph: Path, model: ir.Model, name: str, settings: SessionSettings) -> OnnxGraph:
    """Save ``model`` beside the data file of ``graph``, load it, and delete the saved graph."""
    wanted = graph.with_name(f"{name}.onnx")
    with unwritable_is_users(wanted), temporary_file(wanted) as beside:
        ir.save(model, beside)
        return OnnxGraph(beside, settings)
