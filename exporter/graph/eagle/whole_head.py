"""Give the graph of a layer's step the whole head of its target again, after it was trimmed."""

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgedraft.exporter.graph.eagle.borrowing import borrowed_head
from edgedraft.exporter.graph.heads.tail import find_tail
from edgedraft.exporter.graph.loading import LOGITS, output_named, vocabulary_width
from edgedraft.exporter.graph.packing import pack_products
from edgedraft.exporter.graph.precisions import Precision


def put_whole_head(step: ir.Model, target: ir.Model, precision: Precision) -> None:
    """Replace the trimmed head of ``step``, in place, by the head of ``target``, as `assemble` borrows it.

    A float head is packed in ``precision``; a packed one keeps the target's values.
    """
    trimmed, states = output_named(step, LOGITS), find_tail(step).product.inputs[0]
    assert states is not None and trimmed.shape is not None
    head = borrowed_head(target)
    (reads,), (makes,) = head.inputs, head.outputs
    ir.convenience.replace_all_uses_with(reads, states)
    head.outputs.clear()
    place = next(place for place, value in enumerate(step.graph.outputs) if value is trimmed)
    trimmed.name = f"{LOGITS}.trimmed"
    for value in list(head.initializers.values()):
        head.initializers.pop(str(value.name))
        if str(value.name) in step.graph.initializers:
            value.name = f"{value.name}.whole"
        step.graph.register_initializer(value)
    for node in list(head):
        head.remove(node)
        step.graph.append(node)
    makes.name, makes.dtype = LOGITS, ir.DataType.FLOAT
    makes.shape = ir.Shape([*trimmed.shape.dims[:-1], vocabulary_width(target)])
    step.graph.outputs[place] = makes
    RemoveUnusedNodesPass()(step)
    pack_products(step, precision)
