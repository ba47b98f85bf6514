"""The LM head: trimmed to the mapped rows, and its logits spread over the whole vocabulary for stock engines."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.heads.cutting import carry_out
from edgedraft.exporter.graph.heads.products import product_cuts, row_parameters, set_width
from edgedraft.exporter.graph.heads.reshapes import set_shape
from edgedraft.exporter.graph.heads.tail import Tail, find_tail, tail_cuts
from edgedraft.exporter.graph.loading import LOGITS, ModelSize, add_constant, output_named, vocabulary_width
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.index_map import IndexMap

ROW_TILE = 64
"""Draft vocabularies are multiples of this: with other sizes the last columns take another kernel and round apart."""

_REDUCED = "logits.reduced"


def round_to_tile(size: int, vocab_size: int) -> int:
    """Round ``size`` up to a multiple of the tile, at most the whole vocabulary."""
    require(
        1 <= size <= vocab_size,
        f"draft vocabulary size: expected 1..{vocab_size}",
        got=size,
        remedy="choose a size within the drafter's vocabulary",
    )
    return min(-(-size // ROW_TILE) * ROW_TILE, vocab_size)


def trim_head(model: ir.Model, index_map: IndexMap) -> None:
    """Keep only the rows of ``index_map`` in the head, in place; change nothing else.

    Kept logits stay equal bit for bit with K a multiple of 64. Heads packed by blocks of weights make two exceptions,
    where columns differ by about 1e-6: the last ones of any other K, and tokens among the last V mod 4 of a vocabulary
    V that is no multiple of 4 (GPT-2's 50257, Granite's 49155), which the full head computes with another kernel. The
    embedding keeps every row, because an accepted token can be any token. Raises `EdgedraftError` naming the node if
    the head has an unknown shape; nothing is changed then.
    """
    width = vocabulary_width(model)
    require(index_map.target_vocab_size == width, "index map: made for another vocabulary", got=width)
    tail = find_tail(model)
    for cut in [*product_cuts(tail.product, width), *tail_cuts(tail, width)]:
        carry_out(cut, index_map.target_ids, width)
    _set_size(tail, width, index_map.draft_vocab_size)


def expand_logits(model: ir.Model, index_map: IndexMap) -> None:
    """Append, in place, the nodes that spread (…, K) logits over (…, vocab), with -inf where nothing is mapped.

    Stock engines need this layout: they refuse a drafter whose logits have another width than the target's. Scattering
    the K logits onto a row of -inf takes a tenth of the time of gathering every token of the vocabulary from the K. All
    nodes exist since opset 11.
    """
    logits = output_named(model, LOGITS)
    assert logits.shape is not None and logits.dtype is not None
    leading = logits.shape.dims[:-1]
    logits.name = _REDUCED

    def constant(name: str, values: Sequence[int] | Ids) -> ir.Value:
        return add_constant(model.graph, f"expand.{name}", np.array(values, dtype=np.int64))

    def append(operator: str, inputs: list[ir.Value], **attributes: int | ir.TensorProtocol) -> ir.Value:
        node = ir.node(operator, inputs, attributes, name=f"expand/{operator}")
        model.graph.append(node)
        return node.outputs[0]

    shape = append("Shape", [logits])
    rows = append("Slice", [shape, constant("first", [0]), constant("last", [-1])])
    wide = append("Concat", [rows, constant("width", [index_map.target_vocab_size])], axis=0)
    masked = append("ConstantOfShape", [wide], value=ir.tensor(np.array([-np.inf], dtype=logits.dtype.numpy())))
    columns = constant("target_ids", index_map.target_ids.reshape(*[1] * len(leading), -1))
    indices = append("Expand", [columns, shape])
    full = append("ScatterElements", [masked, indices, logits], axis=len(leading))
    full.name, full.dtype = LOGITS, logits.dtype
    full.shape = ir.Shape([*leading, index_map.target_vocab_size])
    position = next(i for i, value in enumerate(model.graph.outputs) if value is logits)
    model.graph.outputs[position] = full


def head_row_size(model: ir.Model) -> ModelSize:
    """Return weights and bytes of one row of the head, which a step reads for each token of the draft vocabulary."""
    tail, width = find_tail(model), vocabulary_width(model)
    cuts = product_cuts(tail.product, width)
    nbytes = sum(cut.tensor.nbytes for cut in [*cuts, *tail_cuts(tail, width)])
    return ModelSize(parameters=row_parameters(tail.product, cuts[0].tensor, width), weight_bytes=nbytes // width)


def _set_size(tail: Tail, width: int, size: int) -> None:
    """Write the new number of tokens wherever the graph states it."""
    set_width(tail.product, size)
    for node in tail.nodes:
        set_shape(node, width, size)
        shape = node.outputs[0].shape
        if shape is not None and len(shape):
            node.outputs[0].shape = ir.Shape([*shape.dims[:-1], size])
