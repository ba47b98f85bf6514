"""GraphBuilder: append operators with the kinds and names of the model builder's, which weight packing expects."""

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from edgedraft.exporter.graph.loading import MICROSOFT, add_constant
from edgedraft.runtime.base.arrays import AnyArray, Float32Array

_OPSETS = {"": 21, MICROSOFT: 1}
_IR_VERSION = 10
_FUSED_SUM = 3
"""The output of a SkipSimplifiedLayerNormalization that gives the sum before the norm."""


class GraphBuilder:
    """A graph under construction; each method appends a node and returns its output."""

    def __init__(self, epsilon: float) -> None:
        self._epsilon = epsilon
        self._graph = ir.Graph([], [], nodes=[], opset_imports=_OPSETS, name="eagle")

    def input(self, name: str, dtype: ir.DataType, shape: Sequence[int | str]) -> ir.Value:
        """Add a graph input."""
        value = ir.val(name, dtype, shape)
        self._graph.inputs.append(value)
        return value

    def output(self, value: ir.Value, name: str, shape: Sequence[int | str]) -> None:
        """Make ``value`` a graph output of float32 called ``name``."""
        value.name, value.dtype, value.shape = name, ir.DataType.FLOAT, ir.Shape(shape)
        self._graph.outputs.append(value)

    def constant(self, name: str, array: AnyArray) -> ir.Value:
        """Add a constant."""
        return add_constant(self._graph, name, array)

    def node(self, kind: str, inputs: Sequence[ir.Value | None], name: str, **attributes: Any) -> ir.Value:
        """Append a node of one output."""
        return self.nodes(kind, inputs, name, outputs=(0,), **attributes)[0]

    def nodes(
        self, kind: str, inputs: Sequence[ir.Value | None], name: str, *, outputs: Sequence[int], **attributes: Any
    ) -> list[ir.Value]:
        """Append a node and return the values of ``outputs``, given by index; other outputs stay unused."""
        domain = MICROSOFT if kind in ("GroupQueryAttention", "SkipSimplifiedLayerNormalization") else ""
        made = ir.node(kind, inputs, attributes, domain=domain, name=name, num_outputs=max(outputs) + 1)
        for place, value in enumerate(made.outputs):
            value.name = f"{name}/output_{place}" if place in outputs else ""
        self._graph.append(made)
        return [made.outputs[place] for place in outputs]

    def product(self, rows: ir.Value, name: str, weight: Float32Array, bias: Float32Array | None = None) -> ir.Value:
        """Multiply ``rows`` with a (features out, features in) matrix and add a bias where there is one."""
        operand = self.constant(f"{name}.weight", weight.T)
        made = self.node("MatMul", [rows, operand], f"{_path(name)}/MatMul")
        if bias is None:
            return made
        return self.node("Add", [made, self.constant(f"{name}.bias", bias)], f"{_path(name)}/Add")

    def norm(self, rows: ir.Value, name: str, weight: Float32Array) -> ir.Value:
        """Divide ``rows`` by their root mean square and scale them."""
        inputs = [rows, self.constant(f"{name}.weight", weight)]
        settings = {"axis": -1, "epsilon": self._epsilon, "stash_type": 1}
        return self.node("SimplifiedLayerNormalization", inputs, _path(name), **settings)

    def sum_and_norm(
        self, rows: ir.Value, added: ir.Value, name: str, weight: Float32Array
    ) -> tuple[ir.Value, ir.Value]:
        """Return ``rows`` plus ``added``, and that sum normalised."""
        inputs = [rows, added, self.constant(f"{name}.weight", weight)]
        kind = "SkipSimplifiedLayerNormalization"
        normed, total = self.nodes(kind, inputs, _path(name), outputs=(0, _FUSED_SUM), epsilon=self._epsilon)
        return total, normed

    def splice(self, part: ir.Graph, entering: ir.Value) -> ir.Value:
        """Move the nodes and constants of ``part`` into this graph, on the input ``entering``; return its output."""
        (reads,), (makes,) = part.inputs, part.outputs
        ir.convenience.replace_all_uses_with(reads, entering)
        part.outputs.clear()
        for value in list(part.initializers.values()):
            part.initializers.pop(str(value.name))
            self._take_over(value)
        for node in list(part):
            part.remove(node)
            self._graph.append(node)
        return makes

    def _take_over(self, value: ir.Value) -> None:
        """Move another graph's constant into this one, or use this graph's where it already has the same one."""
        known = self._graph.initializers.get(str(value.name))
        if known is not None and known.const_value is value.const_value:
            ir.convenience.replace_all_uses_with(value, known)
            return
        if known is not None:
            value.name = f"{value.name}.target"
        self._graph.register_initializer(value)

    def model(self) -> ir.Model:
        """Return the finished graph."""
        return ir.Model(self._graph, ir_version=_IR_VERSION, producer_name="edgedraft")


def _path(name: str) -> str:
    """Return a module's name in the form that exporters use in node names; weight packing relies on it."""
    return "/" + name.replace(".", "/")
