"""Trimming the LM head: find the product that makes the logits, keep only the mapped rows, change nothing else."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graphs import LOGITS, ModelSize, add_constant, drop_unread, output_named, vocabulary_width
from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.index_map import Ids, IndexMap
from edgedraft.runtime.records import require

ROW_TILE = 64
"""Draft vocabularies are multiples of this: with ragged sizes the last columns take another kernel and round apart."""


def round_to_tile(size: int, vocab_size: int) -> int:
    """The smallest multiple of the tile that holds ``size``, at most the whole vocabulary."""
    require(
        1 <= size <= vocab_size,
        f"draft vocabulary size: expected 1..{vocab_size}",
        got=size,
        remedy="choose a size within the drafter's vocabulary",
    )
    return min(-(-size // ROW_TILE) * ROW_TILE, vocab_size)


def trim_head(model: ir.Model, index_map: IndexMap) -> None:
    """Keep only the rows of ``index_map`` in the head, in place.

    Kept logits stay equal bit for bit while both vocabularies are whole tiles of the kernel: K a multiple of 64, the
    full one a multiple of 4, as all known models' are. Elsewhere the last columns round apart (about 1e-6).
    The embedding keeps every row, because an accepted token can be any token. Raises `EdgedraftError` naming the node
    when the head has a shape that is not known.
    """
    width = vocabulary_width(model)
    require(index_map.target_vocab_size == width, "index map: made for another vocabulary", got=width)
    head = find_head(model)
    _TRIMMERS[head.op_type](head, index_map.target_ids, width)
    logits = output_named(model, LOGITS)
    assert logits.shape is not None
    logits.shape = ir.Shape([*logits.shape.dims[:-1], index_map.draft_vocab_size])


def find_head(model: ir.Model) -> ir.Node:
    """The node whose product is the logits."""
    node = output_named(model, LOGITS).producer()
    require(node is not None, "graph output logits: no node makes it")
    assert node is not None
    known = ", ".join(sorted(_TRIMMERS))
    require(
        node.op_type in _TRIMMERS,
        f"LM head: node {_label(node)}: expected one of {known}",
        got=node.op_type,
        remedy="export the drafter with a plain or block-quantized head",
    )
    return node


def _trim_matmul(head: ir.Node, ids: Ids, width: int) -> None:
    """MatMul: weight (hidden, vocab); the kept columns stay."""
    weight = _constant(head, 1)
    _require_rows(head, weight.shape[1] if len(weight.shape) == 2 else -1, width)
    _replace(head, 1, weight.numpy()[:, ids])


def _trim_dynamic(head: ir.Node, ids: Ids, width: int) -> None:
    """DynamicQuantizeMatMul: int8 weight (hidden, vocab); scale, zero point and bias one a column or one for all."""
    weight = _constant(head, 1)
    _require_rows(head, weight.shape[1] if len(weight.shape) == 2 else -1, width)
    _replace(head, 1, weight.numpy()[:, ids])
    for position in (2, 3, 4):
        if _input(head, position) is not None and _constant(head, position).shape == (width,):
            _replace(head, position, _constant(head, position).numpy()[ids])


def _trim_matmul_nbits(head: ir.Node, ids: Ids, width: int) -> None:
    """MatMulNBits: every input is laid out row by row of the vocabulary, so a slice needs no requantization.

    Inputs: 1 packed values (vocab, blocks, bytes); 2 scales; 3 zero points; 5 bias; the last three may be flat.
    """
    _require_rows(head, head.attributes["N"].as_int(), width)
    require(_input(head, 4) is None, f"LM head: node {_label(head)}: g_idx is not supported")
    for position in (1, 2, 3, 5):
        if _input(head, position) is not None:
            rows = _constant(head, position).numpy().reshape(width, -1)[ids]
            shape = _constant(head, position).numpy().shape
            whole = (len(ids), *shape[1:]) if shape[0] == width else (-1,)
            _replace(head, position, rows.reshape(whole))
    head.attributes["N"] = ir.AttrInt64("N", len(ids))


def head_row_size(model: ir.Model) -> ModelSize:
    """Weights and bytes of one row of the head: what every token in the draft vocabulary costs a step."""
    head, width = find_head(model), vocabulary_width(model)
    constants = [_input(head, position) for position in range(1, len(head.inputs))]
    nbytes = sum(value.const_value.nbytes for value in constants if value is not None and value.const_value is not None)
    packed = head.attributes.get("K")
    parameters = packed.as_int() if packed is not None else int(_constant(head, 1).shape[0])
    return ModelSize(parameters=parameters, weight_bytes=nbytes // width)


_TRIMMERS: dict[str, Callable[[ir.Node, Ids, int], None]] = {
    "DynamicQuantizeMatMul": _trim_dynamic,
    "MatMul": _trim_matmul,
    "MatMulNBits": _trim_matmul_nbits,
}


def _label(node: ir.Node) -> str:
    """The node's name, or where it has none that of what it makes."""
    return str(node.name or node.outputs[0].name)


def _input(node: ir.Node, position: int) -> ir.Value | None:
    return node.inputs[position] if position < len(node.inputs) else None


def _constant(node: ir.Node, position: int) -> ir.TensorProtocol:
    value = _input(node, position)
    if value is None or value.const_value is None:
        raise EdgedraftError(f"LM head: node {_label(node)}: input {position} is not a constant weight")
    return value.const_value


def _require_rows(node: ir.Node, found: int, width: int) -> None:
    require(found == width, f"LM head: node {_label(node)}: expected {width} rows", got=found)


def _replace(node: ir.Node, position: int, array: np.ndarray) -> None:
    """Give ``node`` a new constant; the old one goes when nothing else (a tied embedding) reads it."""
    old = node.inputs[position]
    assert old is not None and node.graph is not None
    node.replace_input_with(position, add_constant(node.graph, f"{old.name}.trimmed", array))
    drop_unread(node.graph, old)
