"""Find the residual stream of a decoder graph from its dataflow alone, for any exporter.

Every path from the token ids to the logits runs through the residual stream, while products, norms and attention can be
bypassed. So the nodes that are on all paths belong to the stream. The output of the last such node before a layer's
attention is the state that enters the layer.
"""

from collections.abc import Iterable, Sequence

import onnx_ir as ir

from edgedraft.exporter.graph.heads.cuts import label
from edgedraft.exporter.graph.heads.tail import find_tail
from edgedraft.exporter.graph.loading import LOGITS, output_named
from edgedraft.exporter.graph.packing import INPUT_IDS
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.signature import cache_slot
from edgedraft.runtime.onnx.state_inputs import state_slot

_SIZES = {"Shape", "Size"}
_SUM_BESIDE_NORM = {"SkipLayerNormalization": 3, "SkipSimplifiedLayerNormalization": 3}
"""Nodes that add, normalise the sum, and give the sum as another output."""


class ResidualStream:
    """The residual states of ``model``: `entering` a layer, `leaving` the last, and `final`, which the head reads."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._nodes = _on_the_way(model)
        self._order = {node: place for place, node in enumerate(self._nodes)}
        self._unavoidable = _unavoidable(self._nodes, self._order)
        self._attentions = _attentions(model, self._order)

    @property
    def layers(self) -> int:
        """Return how many layers there are."""
        return len(self._attentions)

    def entering(self, layer: int) -> ir.Value:
        """Return the state that enters ``layer``: the sum over the layers before it, before any norm."""
        attention = self._attentions[layer]
        before = [node for node in self._unavoidable if self._order[node] < self._order[attention]]
        if not before:
            raise EdgedraftError(f"layer {layer}: no state found between the token ids and its attention")
        return _state_of(before[-1])

    @property
    def leaving(self) -> ir.Value:
        """Return the state that leaves the last layer: the sum over all layers, before the final norm."""
        before = self._order[self._attentions[-1]]
        sums = [node for node in self._unavoidable if self._order[node] > before and _adds(node)]
        maker = self.final.producer()
        behind = maker is not None and sums and self._order[sums[-1]] <= self._order[maker]
        if not behind:
            raise EdgedraftError("graph: no state found between the last layer and the final norm")
        return _state_of(sums[-1])

    @property
    def final(self) -> ir.Value:
        """Return the state after the final norm, which the head reads."""
        states = find_tail(self._model).product.inputs[0]
        maker = states.producer() if states is not None else None
        if maker is not None and maker.op_type == "DynamicQuantizeLinear":
            states = maker.inputs[0]
        assert states is not None
        return states


def _on_the_way(model: ir.Model) -> list[ir.Node]:
    """Return the nodes on any path from the token ids to the logits, in the graph's order.

    Paths through a Shape node, such as those of masks and positions, do not count.
    """
    nodes = [node for node in model.graph if node.op_type not in _SIZES]
    ids = {value for value in model.graph.inputs if value.name == INPUT_IDS}
    behind: set[ir.Value] = set(ids)
    for node in nodes:
        if any(value in behind for value in node.inputs):
            behind.update(node.outputs)
    before: set[ir.Value] = {output_named(model, LOGITS)}
    for node in reversed(nodes):
        if any(value in before for value in node.outputs):
            before.update(value for value in node.inputs if value is not None)
    return [
        node
        for node in nodes
        if any(value in behind for value in node.outputs) and any(value in before for value in node.outputs)
    ]


def _unavoidable(nodes: Sequence[ir.Node], order: dict[ir.Node, int]) -> list[ir.Node]:
    """Return the nodes that every path runs through: no edge skips them in topological order."""
    found, furthest = [], 0
    for place, node in enumerate(nodes):
        if furthest <= place:
            found.append(node)
        furthest = max([furthest, *(order[reader] for reader in _readers(node) if reader in order)])
    return found


def _readers(node: ir.Node) -> Iterable[ir.Node]:
    return (reader for value in node.outputs for reader in value.consumers())


def _attentions(model: ir.Model, order: dict[ir.Node, int]) -> list[ir.Node]:
    """Return, for each layer, the first node that reads its past keys or values, or its recurrent state."""
    found: dict[int, ir.Node] = {}
    for value in model.graph.inputs:
        slot = cache_slot(str(value.name)) or state_slot(str(value.name))
        if slot is not None:
            readers = [node for node in value.consumers() if node in order]
            if not readers:
                raise EdgedraftError(f"graph input {value.name}: nothing between the token ids and the logits reads it")
            first = min(readers, key=order.__getitem__)
            found[slot[0]] = min(found.get(slot[0], first), first, key=order.__getitem__)
    if sorted(found) != list(range(len(found))) or not found:
        raise EdgedraftError("graph: expected past keys and values, or a state, of every layer", got=sorted(found))
    return [found[layer] for layer in range(len(found))]


def _adds(node: ir.Node) -> bool:
    """Return whether a node adds two states; a norm's bias or epsilon is a constant."""
    sums = node.op_type == "Add" or node.op_type in _SUM_BESIDE_NORM
    return sums and all(value is not None and value.const_value is None for value in node.inputs[:2])


def _state_of(node: ir.Node) -> ir.Value:
    """Return the output of ``node`` that the next layer adds to; make a fused norm return its sum."""
    place = _SUM_BESIDE_NORM.get(node.op_type, 0)
    if place >= len(node.outputs):
        before = len(node.outputs)
        node.resize_outputs(place + 1)
        for value in node.outputs[before:place]:
            value.name = ""  # outputs that are left out
    state = node.outputs[place]
    if not state.name:
        state.name = f"{label(node)}/sum"
    return state
