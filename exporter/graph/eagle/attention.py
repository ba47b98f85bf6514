"""Append the attention of a drafter's layer: projections, norms over heads, rotary positions, an output gate."""

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.eagle.building import GraphBuilder
from edgedraft.exporter.graph.eagle.checkpoint import EagleCheckpoint, EagleLayout
from edgedraft.runtime.base.arrays import Float32Array

_INT32, _FLOAT = ir.DataType.INT32, ir.DataType.FLOAT
_CACHES = ("key", "value")
GATE = "self_attn.gate_proj.weight"
"""The matrix of a gate on what the attention finds, as in Qwen 3.5: sigmoid(gate) times the heads' values."""


def named(part: str) -> str:
    """Return the name of a module of the layer."""
    return f"model.layers.0.{part}"


def attention(
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
    if GATE in weights:
        mixed = _gated(graph, mixed, rows, checkpoint)
    output = weights["self_attn.o_proj.weight"], weights.get("self_attn.o_proj.bias")
    return graph.product(mixed, named("attn.o_proj"), *output)


def _gated(graph: GraphBuilder, mixed: ir.Value, rows: ir.Value, checkpoint: EagleCheckpoint) -> ir.Value:
    """Multiply what the heads found with sigmoid(gate(rows))."""
    bias = checkpoint.weights.get(GATE.replace("weight", "bias"))
    gate = graph.product(rows, named("attn.gate_proj"), checkpoint.weights[GATE], bias)
    open_ = graph.node("Sigmoid", [gate], "/model/layers.0/attn/gate/Sigmoid")
    return graph.node("Mul", [mixed, open_], "/model/layers.0/attn/gate/Mul")


def _cache(layout: EagleLayout, length: str) -> list[int | str]:
    return ["batch_size", layout.kv_heads, f"{length}_sequence_length", layout.head_size]


def _projections(graph: GraphBuilder, rows: ir.Value, checkpoint: EagleCheckpoint) -> list[ir.Value | None]:
    """Return queries, keys and values as GroupQueryAttention reads them: in one value, or each, where norms follow."""
    norms = {part: checkpoint.weights.get(f"self_attn.{part}_norm.weight") for part in "qkv"}
    if all(norm is None for norm in norms.values()):
        matrix, bias = _joined_projections(checkpoint)
        return [graph.product(rows, named("attn.qkv_proj"), matrix, bias), None, None]
    return [_head_rows(graph, rows, checkpoint, part, norm) for part, norm in norms.items()]


def _head_rows(
    graph: GraphBuilder, rows: ir.Value, checkpoint: EagleCheckpoint, part: str, norm: Float32Array | None
) -> ir.Value:
    """Append one projection, and the norm over each of its heads where there is one."""
    weight, bias = (checkpoint.weights.get(f"self_attn.{part}_proj.{kind}") for kind in ("weight", "bias"))
    assert weight is not None
    made = graph.product(rows, named(f"attn.{part}_proj"), weight, bias)
    if norm is None:
        return made
    name, size = f"/model/layers.0/attn/{part}_norm", checkpoint.layout.head_size
    heads = graph.constant(f"{part}_heads", np.array([0, 0, -1, size]))
    normed = graph.norm(graph.node("Reshape", [made, heads], f"{name}/Reshape_1"), named(f"attn.{part}_norm"), norm)
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
