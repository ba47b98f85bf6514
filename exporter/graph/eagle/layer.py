"""The graph of one draft step of an EAGLE layer, and the graph that fuses the target's features."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.eagle.borrowing import borrowed_head, borrowed_table
from edgedraft.exporter.graph.eagle.building import GraphBuilder
from edgedraft.exporter.graph.eagle.checkpoint import EAGLE, EMBEDDING, HEAD, EagleCheckpoint, EagleLayout
from edgedraft.exporter.graph.loading import LOGITS
from edgedraft.runtime.base.arrays import Float32Array
from edgedraft.runtime.onnx.signature import FEATURES, IDS, MASK, NEXT_STATES, STATES

_INT64, _INT32, _FLOAT = ir.DataType.INT64, ir.DataType.INT32, ir.DataType.FLOAT
_CACHES = ("key", "value")
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
    read, residual = _entering(graph, embedded, states, checkpoint)
    mixed = _attention(graph, read, mask, checkpoint, context_length)
    # Graph order: present keys and values are outputs of the attention; logits come first among the outputs.
    total, lifted = graph.sum_and_norm(
        residual, mixed, _named("post_attention_layernorm"), weights["post_attention_layernorm.weight"]
    )
    scored, fed_back = _leaving(graph, total, _feed_forward(graph, lifted, checkpoint), checkpoint)
    last = graph.node("Gather", [scored, graph.constant("last_row", np.array([-1]))], "/eagle/last_row/Gather", axis=1)
    logits = _logits(graph, last, checkpoint, target)
    width = len(weights[HEAD]) if checkpoint.own_head else layout.vocab_size
    graph.output(logits, LOGITS, ["batch_size", 1, width])
    graph.output(fed_back, NEXT_STATES, [*_ROWS, layout.hidden])
    return graph.model()


def _named(part: str) -> str:
    return f"model.layers.0.{part}"


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


def _entering(
    graph: GraphBuilder, embedded: ir.Value, states: ir.Value, checkpoint: EagleCheckpoint
) -> tuple[ir.Value, ir.Value]:
    """Return what the attention reads, and the state that its result is added to."""
    layout, weights = checkpoint.layout, checkpoint.weights
    if layout.kind == EAGLE:
        both = graph.node("Concat", [embedded, states], "/model/fc/Concat", axis=-1)
        joined = graph.product(both, "model.fc", weights["fc.weight"], weights.get("fc.bias"))
        return joined, joined
    token = graph.norm(embedded, _named("input_layernorm"), weights["input_layernorm.weight"])
    state = graph.norm(states, _named("hidden_norm"), weights["hidden_norm.weight"])
    both = graph.node("Concat", [token, state], "/model/layers.0/Concat", axis=-1)
    return both, state if layout.residual_normed else states


def _attention(
    graph: GraphBuilder, rows: ir.Value, mask: ir.Value, checkpoint: EagleCheckpoint, context_length: int
) -> ir.Value:
    """Append attention over past and new rows, which updates keys and values in place, and its output projection."""
    layout, weights = checkpoint.layout, checkpoint.weights
    projected = _projections(graph, rows, checkpoint)
    pasts = [graph.input(f"past_key_values.0.{part}", _FLOAT, _cache(layout, "past")) for part in _CACHES]
    mixed, *presents = graph.nodes(
        "GroupQueryAttention",
        [*projected, *pasts, *_lengths(graph, mask), *_turns(graph, layout, context_length)],
        "/model/layers.0/attn/GroupQueryAttention",
        outputs=(0, 1, 2),
        num_heads=layout.heads,
        kv_num_heads=layout.kv_heads,
        scale=layout.head_size**-0.5,
        do_rotary=1,
        rotary_interleaved=0,
    )
    for part, present in zip(_CACHES, presents, strict=True):
        graph.output(present, f"present.0.{part}", _cache(layout, "total"))
    output = weights["self_attn.o_proj.weight"], weights.get("self_attn.o_proj.bias")
    return graph.product(mixed, _named("attn.o_proj"), *output)


def _cache(layout: EagleLayout, length: str) -> list[int | str]:
    return ["batch_size", layout.kv_heads, f"{length}_sequence_length", layout.head_size]


def _projections(graph: GraphBuilder, rows: ir.Value, checkpoint: EagleCheckpoint) -> list[ir.Value | None]:
    """Return queries, keys and values as GroupQueryAttention reads them: in one value, or each, where norms follow."""
    norms = {part: checkpoint.weights.get(f"self_attn.{part}_norm.weight") for part in "qkv"}
    if all(norm is None for norm in norms.values()):
        matrix, bias = _joined_projections(checkpoint)
        return [graph.product(rows, _named("attn.qkv_proj"), matrix, bias), None, None]
    return [_head_rows(graph, rows, checkpoint, part, norm) for part, norm in norms.items()]


def _head_rows(
    graph: GraphBuilder, rows: ir.Value, checkpoint: EagleCheckpoint, part: str, norm: Float32Array | None
) -> ir.Value:
    """Append one projection, and the norm over each of its heads where there is one."""
    weight, bias = (checkpoint.weights.get(f"self_attn.{part}_proj.{kind}") for kind in ("weight", "bias"))
    assert weight is not None
    made = graph.product(rows, _named(f"attn.{part}_proj"), weight, bias)
    if norm is None:
        return made
    name, size = f"/model/layers.0/attn/{part}_norm", checkpoint.layout.head_size
    heads = graph.constant(f"{part}_heads", np.array([0, 0, -1, size]))
    normed = graph.norm(graph.node("Reshape", [made, heads], f"{name}/Reshape_1"), _named(f"attn.{part}_norm"), norm)
    return graph.node("Reshape", [normed, graph.constant(f"{part}_row", np.array([0, 0, -1]))], f"{name}/Reshape_2")


def _joined_projections(checkpoint: EagleCheckpoint) -> tuple[Float32Array, Float32Array | None]:
    """Return the query, key and value matrices as one, and their biases if any has one."""
    matrices = [checkpoint.weights[f"self_attn.{part}_proj.weight"] for part in "qkv"]
    biases = [checkpoint.weights.get(f"self_attn.{part}_proj.bias") for part in "qkv"]
    joined = np.concatenate(matrices)
    if all(bias is None for bias in biases):
        return joined, None
    filled = [
        np.zeros(len(matrix), np.float32) if bias is None else bias
        for matrix, bias in zip(matrices, biases, strict=True)
    ]
    return joined, np.concatenate(filled)


def _lengths(graph: GraphBuilder, mask: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return the index of each text's last token, and the longest text's length, as GroupQueryAttention reads them."""
    where = "/model/attn_mask_reformat"
    held = graph.node("ReduceSum", [mask, graph.constant("one", np.array([1]))], f"{where}/ReduceSum", keepdims=0)
    last = graph.node("Sub", [held, graph.constant("one_less", np.array([1]))], f"{where}/Sub")
    shape = graph.node("Shape", [mask], f"{where}/Shape")
    total = graph.node("Gather", [shape, graph.constant("length_axis", np.array(1))], f"{where}/Gather", axis=0)
    casts = (graph.node("Cast", [each], f"{each.name}/Cast", to=int(_INT32)) for each in (last, total))
    return next(casts), next(casts)


def _turns(graph: GraphBuilder, layout: EagleLayout, context_length: int) -> tuple[ir.Value, ir.Value]:
    """Return the rotary cosines and sines of every position, (context_length, head_size / 2) each."""
    angles = np.arange(context_length)[:, None] * layout.rotary_speeds
    cosines, sines = (layout.rotary_scale * turned(angles) for turned in (np.cos, np.sin))
    return graph.constant("cos_cache", cosines.astype(np.float32)), graph.constant(
        "sin_cache", sines.astype(np.float32)
    )


def _feed_forward(graph: GraphBuilder, rows: ir.Value, checkpoint: EagleCheckpoint) -> ir.Value:
    """Append SwiGLU: down(silu(gate(rows)) · up(rows))."""

    def product(entering: ir.Value, part: str) -> ir.Value:
        weight, bias = (checkpoint.weights.get(f"mlp.{part}_proj.{kind}") for kind in ("weight", "bias"))
        assert weight is not None
        return graph.product(entering, _named(f"mlp.{part}_proj"), weight, bias)

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
