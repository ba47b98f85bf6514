"""Checkpoints: states of recurrent layers after some of a pass's tokens, as further outputs of a graph.

A target that verifies a draft reads a token that is part of the text for certain, then drafted ones. With the states
after the former the text can be rewound there for nothing, and after a partly accepted draft only its accepted tokens
are read again. Without them the runtime goes back to the beginning of the pass.
"""

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.loading import MICROSOFT, add_constant
from edgedraft.runtime.base.arrays import AnyArray
from edgedraft.runtime.onnx.signature import IDS
from edgedraft.runtime.onnx.state_inputs import CHECKPOINT_ROWS, state_slot

_CONVOLUTION, _ATTENTION = "CausalConvWithState", "LinearAttention"
_PAST = 3  # the input of both operators that holds the state
_ALL = np.iinfo(np.int32).max
_BY_TOKEN = (0, 1, 2, 4, 5)  # the inputs of LinearAttention that have a row for each token


def add_checkpoints(model: ir.Model) -> int:
    """Add an input `CHECKPOINT_ROWS` and an output ``checkpoint.N.KIND`` for each state to ``model``, in place.

    The input says after how many of a pass's tokens the checkpoints are taken. It has a default, 0, so that engines
    that do not know it run the graph as before. Where it is the number of the pass's tokens, checkpoints are the
    states after the pass, and the present states are empty (batch 0): nothing is written twice. Each operator computes
    its rows one after the other, so that cutting a pass in two changes no bit. Returns the number of states; a graph
    without any, with other operators, or with checkpoints is left as it is.
    """
    if any(value.name == CHECKPOINT_ROWS for value in model.graph.inputs):
        return 0
    states = [value for value in model.graph.inputs if state_slot(str(value.name)) is not None]
    readers = [(value, node) for value in states for node in value.consumers()]
    if not readers or any(node.op_type not in (_CONVOLUTION, _ATTENTION) for _, node in readers):
        return 0
    cut = _Splitter(model)
    for past, node in readers:
        (cut.convolution if node.op_type == _CONVOLUTION else cut.attention)(past, node)
    model.graph.sort()
    return len(states)


class _Splitter:
    """Splits the recurrent operators of one graph after `CHECKPOINT_ROWS` tokens."""

    def __init__(self, model: ir.Model) -> None:
        self._model, self._graph = model, model.graph
        self.rows = ir.val(
            CHECKPOINT_ROWS,
            ir.DataType.INT64,
            ir.Shape([1]),
            const_value=ir.tensor(np.zeros(1, np.int64), name=CHECKPOINT_ROWS),
        )
        self._graph.inputs.append(self.rows)
        self._graph.register_initializer(self.rows)
        ids = next(value for value in self._graph.inputs if value.name == IDS)
        self._zero, self._one, self._two = (self._number(number) for number in range(3))
        tokens = self._node("Gather", self._node("Shape", ids), self._one)
        self.more = self._node("Less", self.rows, tokens)
        whole = self._node("Cast", self.more, to=int(ir.DataType.INT64))
        self.batches = self._node("Mul", whole, self._number(_ALL))

    def _number(self, number: int) -> ir.Value:
        name = f"{CHECKPOINT_ROWS}/{number}"
        known = self._graph.initializers.get(name)
        return known or add_constant(self._graph, name, np.array([number], np.int64))

    def _node(self, kind: str, *inputs: ir.Value | None, **attributes: int) -> ir.Value:
        made = ir.node(kind, list(inputs), attributes)
        self._graph.append(made)
        return made.outputs[0]

    def convolution(self, past: ir.Value, node: ir.Node) -> None:
        """Give the last columns before the cut as the checkpoint: a convolution's state is its latest inputs."""
        columns = self._number(_sizes(past)[-1])
        seen = self._node("Concat", past, node.inputs[0], axis=2)
        end = self._node("Add", self.rows, columns)
        self._add_output(past, self._node("Slice", seen, self.rows, end, self._two))
        present = node.outputs[1]
        cut = self._node("Slice", present, self._zero, self.batches, self._zero)
        self._replace_output(present, cut)

    def attention(self, past: ir.Value, node: ir.Node) -> None:
        """Run the operator up to the cut, and again on the rest if there is a rest."""
        first = [*node.inputs]
        for place in _BY_TOKEN:
            first[place] = self._node("Slice", first[place], self._zero, self.rows, self._one)
        before = ir.node(_ATTENTION, first, dict(node.attributes), domain=MICROSOFT, num_outputs=2)
        self._graph.append(before)
        branches = {"then_branch": self._rest(node, before), "else_branch": _nothing(node, past)}
        rest = ir.node("If", [self.more], branches, num_outputs=2)
        self._graph.append(rest)
        joined = self._node("Concat", before.outputs[0], rest.outputs[0], axis=1)
        scores, present = node.outputs
        joined.shape = scores.shape
        ir.convenience.replace_all_uses_with(scores, joined)
        self._add_output(past, before.outputs[1])
        self._replace_output(present, rest.outputs[1])
        self._graph.remove(node, safe=True)

    def _rest(self, node: ir.Node, before: ir.Node) -> ir.Graph:
        """Return the branch that goes on behind the cut; it reads values of the graph around it."""
        nodes, inputs = [], [*node.inputs]
        end, axis = self._number(_ALL), self._one
        for place in _BY_TOKEN:
            nodes.append(ir.node("Slice", [inputs[place], self.rows, end, axis]))
            inputs[place] = nodes[-1].outputs[0]
        inputs[_PAST] = before.outputs[1]
        nodes.append(ir.node(_ATTENTION, inputs, dict(node.attributes), domain=MICROSOFT, num_outputs=2))
        return _branch(nodes, f"{node.name}/rest")

    def _add_output(self, past: ir.Value, value: ir.Value) -> None:
        slot = state_slot(str(past.name))
        assert slot is not None
        value.name, value.type, value.shape = f"checkpoint.{slot[0]}.{slot[1]}", past.type, past.shape
        self._graph.outputs.append(value)

    def _replace_output(self, old: ir.Value, new: ir.Value) -> None:
        name = old.name
        old.name = f"{name}.whole"
        new.name, new.type, new.shape = name, old.type, old.shape
        self._graph.outputs[next(place for place, value in enumerate(self._graph.outputs) if value is old)] = new


def _nothing(node: ir.Node, past: ir.Value) -> ir.Graph:
    """Return the branch for a pass without tokens behind the cut: no rows, and an empty state."""
    assert past.dtype is not None
    sizes = _sizes(past)
    width = node.attributes["kv_num_heads"].as_int() * sizes[-1]
    dtype = past.dtype.numpy()
    empty = [np.zeros((1, 0, width), dtype), np.zeros((0, *sizes), dtype)]
    return _branch([_constant(array) for array in empty], f"{node.name}/nothing")


def _sizes(past: ir.Value) -> list[int]:
    """Return the sizes of a state behind its batch axis, which are fixed."""
    assert past.shape is not None
    return [size for size in past.shape.dims[1:] if isinstance(size, int)]


def _constant(array: AnyArray) -> ir.Node:
    return ir.node("Constant", [], {"value": ir.tensor(array)})


def _branch(nodes: list[ir.Node], name: str) -> ir.Graph:
    """Return a graph of ``nodes`` without inputs that gives the last two values that they make."""
    made = [value for node in nodes for value in node.outputs]
    for place, value in enumerate(made):
        value.name = f"{name}/{place}"
    return ir.Graph([], made[-2:], nodes=nodes, name=name)
