"""The token table, packed: a step reads one row of it, so it may be small. It keeps every row, trimmed head or not."""

import onnx_ir as ir

from edgedraft.exporter.blocks import BlockScheme, quantize
from edgedraft.exporter.graphs import MICROSOFT, add_constant, drop_unread, release, replace_node
from edgedraft.runtime.errors import EdgedraftError

INPUT_IDS = "input_ids"


def find_embedding(model: ir.Model) -> ir.Node:
    """The Gather that turns token ids into states."""
    readers = [node for value in model.graph.inputs if value.name == INPUT_IDS for node in value.consumers()]
    for node in readers:
        table = node.inputs[0]
        if node.op_type == "Gather" and table is not None and table.const_value is not None:
            return node
    raise EdgedraftError(
        f"embedding: expected a Gather from a constant table by {INPUT_IDS}",
        got=", ".join(sorted({node.op_type for node in readers})) or "none",
        remedy="export the model with an embedding of its own",
    )


def pack_embedding(model: ir.Model, scheme: BlockScheme) -> None:
    """Make the Gather a GatherBlockQuantized over packed rows, in place; a tied head goes on reading the floats."""
    gather = find_embedding(model)
    table, ids = gather.inputs[0], gather.inputs[1]
    assert table is not None and table.const_value is not None
    rows, features = table.const_value.shape
    packed = quantize(table.const_value.numpy(), scheme)
    release(table.const_value)
    width = -(-int(features) * scheme.bits // 8)  # a last block that is not full ends where the row does
    values = packed.values.reshape(int(rows), -1)[:, :width]
    inputs = [
        add_constant(model.graph, f"{table.name}.values", values),
        ids,
        add_constant(model.graph, f"{table.name}.scales", packed.scales),
    ]
    if packed.zero_points is not None:
        inputs.append(add_constant(model.graph, f"{table.name}.zero_points", packed.zero_points))
    attributes = {"bits": scheme.bits, "block_size": scheme.block_size, "gather_axis": 0, "quantize_axis": 1}
    reader = ir.node("GatherBlockQuantized", inputs, attributes, domain=MICROSOFT, name=gather.name)
    replace_node(model.graph, gather, reader)
    drop_unread(model.graph, table)
