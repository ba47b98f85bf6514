"""The token table, packed: every row is kept, also beside a trimmed head, because any token may be accepted."""

import onnx_ir as ir

from edgedraft.exporter.graph.blocks import BlockScheme, quantize
from edgedraft.exporter.graph.loading import MICROSOFT, add_constant, drop_maker, drop_unread, release, replace_node
from edgedraft.runtime.base.errors import EdgedraftError

INPUT_IDS = "input_ids"


def find_embedding(model: ir.Model) -> ir.Node:
    """Return the Gather that turns token ids into states, from a table or from a head's matrix transposed."""
    readers = [node for value in model.graph.inputs if value.name == INPUT_IDS for node in value.consumers()]
    for node in readers:
        if node.op_type == "Gather" and _source(node) is not None:
            return node
    raise EdgedraftError(
        f"embedding: expected a Gather from a constant table by {INPUT_IDS}",
        got=", ".join(sorted({node.op_type for node in readers})) or "none",
        remedy="export the model with an embedding of its own",
    )


def _source(gather: ir.Node) -> ir.Value | None:
    """Return the constant matrix behind the Gather's table: the table itself, or the input of a Transpose."""
    table = gather.inputs[0]
    maker = table.producer() if table is not None else None
    source = maker.inputs[0] if maker is not None and maker.op_type == "Transpose" else table
    matrix = source is not None and source.const_value is not None and len(source.const_value.shape) == 2
    return source if matrix else None


def pack_embedding(model: ir.Model, scheme: BlockScheme) -> None:
    """Replace the Gather by a GatherBlockQuantized over packed rows; a tied head goes on reading the floats."""
    gather = find_embedding(model)
    table, ids, source = gather.inputs[0], gather.inputs[1], _source(gather)
    assert table is not None and source is not None and source.const_value is not None
    numbers = source.const_value.numpy()
    rows = numbers if source is table else numbers.T
    packed = quantize(rows, scheme)
    width = -(-rows.shape[1] * scheme.bits // 8)  # a last block that is not full ends where the row does
    values = packed.values.reshape(len(rows), -1)[:, :width]
    # Nothing may hold the floats any longer, or the file's pages would count as ours.
    del numbers, rows
    release(source.const_value)
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
    drop_maker(model.graph, table)
    drop_unread(model.graph, source)
