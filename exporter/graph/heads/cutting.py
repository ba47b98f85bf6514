"""Applying cuts: the head gets rows of its own; constants that other nodes read stay whole."""

import onnx_ir as ir

from edgedraft.exporter.graph.external import taken
from edgedraft.exporter.graph.heads.cuts import Cut, forget
from edgedraft.exporter.graph.loading import add_constant
from edgedraft.runtime.base.arrays import AnyArray, Ids


def kept_rows(tensor: ir.TensorProtocol, axis: int, ids: Ids, width: int) -> AnyArray:
    """Return the rows of ``ids`` along ``axis``; a flat constant holds several numbers for each token in turn."""
    if tensor.shape[axis] == width:
        return taken(tensor, ids, axis)
    flat: AnyArray = tensor.numpy().reshape(width, -1)[ids].reshape(-1)
    return flat


def carry_out(cut: Cut, ids: Ids, width: int) -> None:
    """Replace the constant by its kept rows; delete the old one unless something else (a tied embedding) reads it."""
    reader, position = _own_reader(cut), cut.path[-1]
    old = reader.inputs[position]
    assert old is not None and reader.graph is not None
    graph = reader.graph
    name = _free_name(graph, f"{old.name}.trimmed")
    reader.replace_input_with(position, add_constant(graph, name, kept_rows(cut.tensor, cut.axis, ids, width)))
    forget(graph, old)


def _own_reader(cut: Cut) -> ir.Node:
    """Return the node that reads the constant, after every node on the way to it belongs to the head alone."""
    node = cut.node
    for position in cut.path[:-1]:
        node = _own_maker(node, position)
    return node


def _own_maker(node: ir.Node, position: int) -> ir.Node:
    """Return the node behind an input; one that others read too is copied first, without its constants."""
    value = node.inputs[position]
    maker = value.producer() if value is not None else None
    assert value is not None and maker is not None and node.graph is not None
    if len(value.uses()) > 1 or value.is_graph_output():
        maker = ir.Node(maker.domain, maker.op_type, maker.inputs, maker.attributes.values(), num_outputs=1)
        maker.outputs[0].type = value.type
        node.graph.insert_before(node, maker)
        node.replace_input_with(position, maker.outputs[0])
    maker.outputs[0].shape = None
    return maker


def _free_name(graph: ir.Graph, name: str) -> str:
    """Return ``name``, followed by a number where it is taken."""
    number, free = 2, name
    while free in graph.initializers:
        number, free = number + 1, f"{name}.{number}"
    return free
