"""Trimming the LM head: find the product that makes the logits, keep only the mapped rows, change nothing else."""

import onnx_ir as ir

from edgedraft.exporter.graph.heads.cutting import carry_out
from edgedraft.exporter.graph.heads.products import product_cuts, row_parameters, tell_width
from edgedraft.exporter.graph.heads.reshapes import tell_shape
from edgedraft.exporter.graph.heads.tail import Tail, find_tail, tail_cuts
from edgedraft.exporter.graph.loading import ModelSize, vocabulary_width
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.index_map import IndexMap

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

    Kept logits stay equal bit for bit with K a multiple of 64. Heads packed by blocks of weights make two exceptions,
    where columns round apart (about 1e-6): the last ones of any other K, and tokens among the last V mod 4 of a
    vocabulary V that is no multiple of 4 (GPT-2's 50257, Granite's 49155), which the full head put in another kernel.
    The embedding keeps every row, because an accepted token can be any token. Raises `EdgedraftError` naming the node
    when the head has a shape that is not known; then nothing was changed.
    """
    width = vocabulary_width(model)
    require(index_map.target_vocab_size == width, "index map: made for another vocabulary", got=width)
    tail = find_tail(model)
    for cut in [*product_cuts(tail.product, width), *tail_cuts(tail, width)]:
        carry_out(cut, index_map.target_ids, width)
    _tell_size(tail, width, index_map.draft_vocab_size)


def find_head(model: ir.Model) -> ir.Node:
    """The node whose product is the logits, but for elementwise steps after it."""
    return find_tail(model).product


def head_row_size(model: ir.Model) -> ModelSize:
    """Weights and bytes of one row of the head: what every token in the draft vocabulary costs a step."""
    tail, width = find_tail(model), vocabulary_width(model)
    cuts = product_cuts(tail.product, width)
    nbytes = sum(cut.tensor.nbytes for cut in [*cuts, *tail_cuts(tail, width)])
    return ModelSize(parameters=row_parameters(tail.product, cuts[0].tensor, width), weight_bytes=nbytes // width)


def _tell_size(tail: Tail, width: int, size: int) -> None:
    """Write the new number of tokens wherever the graph states it."""
    tell_width(tail.product, size)
    for node in tail.nodes:
        tell_shape(node, width, size)
        shape = node.outputs[0].shape
        if shape is not None and len(shape):
            node.outputs[0].shape = ir.Shape([*shape.dims[:-1], size])
