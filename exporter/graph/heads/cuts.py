"""A cut: one constant with a row for every token, where it is read and along which axis its rows lie."""

from dataclasses import dataclass

import onnx_ir as ir

from edgedraft.exporter.graph.loading import drop_unread
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cut:
    """A constant whose rows are cut, and the way to it: from ``node`` through its inputs, one position a step.

    ``axis`` counts tokens. A flat constant (several numbers a token in one dimension) has axis 0 too.
    """

    node: ir.Node
    path: tuple[int, ...]
    axis: int
    tensor: ir.TensorProtocol


def label(node: ir.Node) -> str:
    """Return the node's name, or the name of its output where it has none."""
    return str(node.name or node.outputs[0].name)


def refusal(node: ir.Node, rule: str, *, got: object = None, remedy: str | None = None) -> EdgedraftError:
    """Make an error that names the node."""
    return EdgedraftError(f"LM head: node {label(node)}: {rule}", got=got, remedy=remedy)


def input_at(node: ir.Node, position: int) -> ir.Value | None:
    """Return the node's input at ``position``, None where it is left out."""
    return node.inputs[position] if position < len(node.inputs) else None


def constant_of(value: ir.Value | None) -> ir.TensorProtocol | None:
    """Return the tensor of an initializer or a Constant node; None for anything that a caller may feed."""
    if value is None or value.is_graph_input():
        return None
    return ir.convenience.get_const_tensor(value)


def forget(graph: ir.Graph, value: ir.Value) -> None:
    """Drop a constant that nothing reads any more, whether an initializer or a Constant node's."""
    maker = value.producer()
    if maker is None:
        drop_unread(graph, value)
    elif not value.uses() and not value.is_graph_output():
        graph.remove(maker, safe=True)


def constant_at(node: ir.Node, position: int) -> ir.TensorProtocol:
    """Return the constant that the node reads at ``position``, or raise an error that names the node."""
    tensor = constant_of(input_at(node, position))
    if tensor is None:
        raise refusal(node, f"input {position} is not a constant weight")
    return tensor


def require_rows(node: ir.Node, rows: object, width: int) -> None:
    """Refuse a constant that does not have exactly one row for every token."""
    require(rows == width, f"LM head: node {label(node)}: expected {width} rows", got=rows)


def cut_rows(node: ir.Node, position: int, axis: int, width: int) -> Cut:
    """Return the cut of a constant matrix whose ``axis`` counts tokens."""
    tensor = constant_at(node, position)
    require_rows(node, tensor.shape[axis] if len(tensor.shape) == 2 else tuple(tensor.shape), width)
    return Cut(node=node, path=(position,), axis=axis, tensor=tensor)


def cut_numbers(node: ir.Node, position: int, width: int) -> list[Cut]:
    """Return the cut of a constant that has a number for each token along its last axis.

    Nothing is to be cut where the constant is left out or is one number for all tokens.
    """
    if input_at(node, position) is None:
        return []
    tensor = constant_at(node, position)
    last = tensor.shape[-1] if len(tensor.shape) else 1
    if last == 1:
        return []
    rule = f"LM head: node {label(node)}: input {position}: expected 1 or {width} numbers"
    require(last == width, rule, got=last)
    return [Cut(node=node, path=(position,), axis=len(tensor.shape) - 1, tensor=tensor)]
