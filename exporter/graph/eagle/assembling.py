"""Assemble an EAGLE drafter for its target as ONNX graphs, packed in a precision."""

from dataclasses import dataclass

import onnx_ir as ir

from edgedraft.exporter.graph.eagle.checkpoint import EAGLE3, EagleCheckpoint
from edgedraft.exporter.graph.eagle.layer import fusing_graph, step_graph
from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.packing import pack_model, pack_products
from edgedraft.exporter.graph.precisions import Precision
from edgedraft.runtime.core.index_map import IndexMap


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EagleGraphs:
    """The graphs of a drafter, and the target's token of each row of its head.

    ``fusing`` computes the layer's states from the target's. It is None where the layer reads the target's state
    itself.
    """

    step: ir.Model
    fusing: ir.Model | None
    index_map: IndexMap


def assemble(checkpoint: EagleCheckpoint, target: ir.Model, precision: Precision, context_length: int) -> EagleGraphs:
    """Build the graphs of a checkpoint that fits ``target``, with the checkpoint's weights packed in ``precision``.

    A token embedding or head that is borrowed from the target keeps the target's quantized values. A float head is
    packed in ``precision`` too; a float token embedding is not, so that target and drafter can read the same bytes. The
    head scores only the tokens of the checkpoint's map.
    """
    layout = checkpoint.layout
    step = step_graph(checkpoint, target, context_length)
    index_map = IndexMap.identity(layout.vocab_size)
    if checkpoint.target_ids is not None:
        index_map = IndexMap(target_ids=checkpoint.target_ids, target_vocab_size=layout.vocab_size)
        if not checkpoint.own_head:
            trim_head(step, index_map)
    (pack_model if checkpoint.own_embedding else pack_products)(step, precision)
    fusing = fusing_graph(checkpoint) if layout.kind == EAGLE3 else None
    if fusing is not None:
        pack_products(fusing, precision)
    return EagleGraphs(step=step, fusing=fusing, index_map=index_map)
