"""The graph of one draft step of an EAGLE layer, and the graph that fuses the target's features."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.eagle.attention import attention, named
from edgedraft.exporter.graph.eagle.borrowing import borrowed_head, borrowed_table
from edgedraft.exporter.graph.eagle.building import GraphBuilder
from edgedraft.exporter.graph.eagle.checkpoint import EMBEDDING, HEAD, EagleCheckpoint, EagleLayout
from edgedraft.exporter.graph.eagle.entering import StepInputs, entering
from edgedraft.exporter.graph.loading import LOGITS
from edgedraft.runtime.base.arrays import Float32Array
from edgedraft.runtime.onnx.signature import FEATURES, IDS, MASK, NEXT_STATES, STATES

_INT64, _FLOAT = ir.DataType.INT64, ir.DataType.FLOAT
_ROWS = ("batch_size", "sequence_length")


def fusing_graph(checkpoint: EagleCheckpoint) -> ir.Model:
    """Return the graph from the target's features (batch, tokens, width) to the layer's states, STATES.

    Only EAGLE-3 has one. It runs where the layer reads the target's features, but not for the drafts after them.
    """
    layout, weights = checkpoint.layout, checkpoint.weights
    graph = GraphBuilder(layout.epsilon)
    rows = graph.input(FEATURES, _FLOAT, [*_ROWS, layout.feature_width])
    if (whole := weights.get("input_norm.weight")) is not None:
        rows = graph.norm(rows, "model.input_norm", whole)
    if "fc_norm.0.weight" in weights:
        rows = _normed_by_tap(graph, rows, layout, weights)
    fused = graph.product(rows, "model.fc", weights["fc.weight"], weights.get("fc.bias"))
    graph.output(fused, STATES, [*_ROWS, layout.hidden])
    return graph.model()


def step_graph(checkpoint: EagleCheckpoint, target: ir.Model, context_length: int) -> ir.Model:
    """Return the graph of one draft step.

    It reads token ids, STATES, mask and past keys and values. It returns the logits of the last row, NEXT_STATES and
    present keys and values. Token embedding and head are the checkpoint's, or those of ``target`` with the target's
    packed values. The checkpoint's head scores ``checkpoint.target_ids``; one of the target scores all tokens until it
    is trimmed. ``context_length``: the most rows that keys and values may hold.
    """
    layout, weights = checkpoint.layout, checkpoint.weights
    graph = GraphBuilder(layout.epsilon)
    ids = graph.input(IDS, _INT64, _ROWS)
    states = graph.input(STATES, _FLOAT, [*_ROWS, layout.hidden])
    mask = graph.input(MASK, _INT64, ["batch_size", "total_sequence_length"])
    embedded = _embedded(graph, ids, checkpoint, target)
    inputs = StepInputs(ids=ids, embedded=embedded, states=states, mask=mask)
    read, residual = entering(graph, inputs, checkpoint)
    mixed = attention(graph, read, mask, checkpoint, context_length)
    # Graph order: present keys and values are outputs of the attention; logits come first among the outputs.
    total, lifted = graph.sum_and_norm(
        residual, mixed, named("post_attention_layernorm"), weights["post_attention_layernorm.weight"]
    )
    scored, fed_back = _leaving(graph, total, _feed_forward(graph, lifted, checkpoint), checkpoint)
    last = graph.node("Gather", [scored, graph.constant("last_row", np.array([-1]))], "/eagle/last_row/Gather", axis=1)
    logits = _logits(graph, last, checkpoint, target)
    width = len(weights[HEAD]) if checkpoint.own_head else layout.vocab_size
    graph.output(logits, LOGITS, ["batch_size", 1, width])
    graph.output(fed_back, NEXT_STATES, [*_ROWS, layout.hidden])
    return graph.model()


def _normed_by_tap(
    graph: GraphBuilder, rows: ir.Value, layout: EagleLayout, weights: Mapping[str, Float32Array]
) -> ir.Value:
    taps = range(layout.taps)
    parts = graph.nodes("Split", [rows], "/model/fc_norm/Split", outputs=taps, axis=-1, num_outputs=layout.taps)
    normed = [graph.norm(parts[tap], f"model.fc_norm.{tap}", weights[f"fc_norm.{tap}.weight"]) for tap in taps]
    return graph.node("Concat", normed, "/model/fc_norm/Concat", axis=-1)


def _embedded(graph: GraphBuilder, ids: ir.Value, checkpoint: EagleCheckpoint, target: ir.Model) -> ir.Value:
    if checkpoint.own_embedding:
        table = graph.constant(f"model.{EMBEDDING}", checkpoint.weights[EMBEDDING])
        return graph.node("Gather", [table, ids], "/model/embed_tokens/Gather", axis=0)
    rows = graph.splice(borrowed_table(target), ids)
    return rows if rows.dtype == _FLOAT else graph.node("Cast", [rows], "/eagle/embed_tokens/Cast", to=int(_FLOAT))


def _feed_forward(graph: GraphBuilder, rows: ir.Value, checkpoint: EagleCheckpoint) -> ir.Value:
    """Append SwiGLU: down(silu(gate(rows)) · up(rows))."""

    def product(entering: ir.Value, part: str) -> ir.Value:
        weight, bias = (checkpoint.weights.get(f"mlp.{part}_proj.{kind}") for kind in ("weight", "bias"))
        assert weight is not None
        return graph.product(entering, named(f"mlp.{part}_proj"), weight, bias)

    gate, raised = product(rows, "gate"), product(rows, "up")
    open_ = graph.node("Sigmoid", [gate], "/model/layers.0/mlp/act_fn/Sigmoid")
    lit = graph.node("Mul", [gate, open_], "/model/layers.0/mlp/act_fn/Mul")
    return product(graph.node("Mul", [lit, raised], "/model/layers.0/mlp/Mul"), "down")


def _leaving(
    graph: GraphBuilder, rows: ir.Value, added: ir.Value, checkpoint: EagleCheckpoint
) -> tuple[ir.Value, ir.Value]:
    """Return what the head reads, and what the next draft step reads."""
    layout = checkpoint.layout
    if not (layout.head_normed or layout.feeds_back_normed):
        out = graph.node("Add", [rows, added], "/model/layers.0/Add")
        return out, out
    out, normed = graph.sum_and_norm(rows, added, "model.norm", checkpoint.weights["norm.weight"])
    return normed if layout.head_normed else out, normed if layout.feeds_back_normed else out


def _logits(graph: GraphBuilder, rows: ir.Value, checkpoint: EagleCheckpoint, target: ir.Model) -> ir.Value:
    if checkpoint.own_head:
        return graph.product(rows, "lm_head", checkpoint.weights[HEAD])
    head = borrowed_head(target)
    if (dtype := head.inputs[0].dtype) not in (None, _FLOAT):
        rows = graph.node("Cast", [rows], "/eagle/lm_head/Cast", to=int(dtype))
    return graph.splice(head, rows)
