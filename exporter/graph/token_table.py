"""A packed token table read by plain operators, for a runtime without GatherBlockQuantized."""

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.loading import add_constant, replace_node
from edgedraft.runtime.base.records import require

_NIBBLE = 16.0


def spell_out(gather: ir.Node) -> None:
    """Replace a GatherBlockQuantized over ids (batch, tokens) by plain nodes; every value stays the same.

    Rows are looked up packed, then unpacked: (code - zero point) · scale, block by block.
    """
    graph = gather.graph
    assert graph is not None and isinstance(graph, ir.Graph)
    bits, block = gather.attributes["bits"].as_int(), gather.attributes["block_size"].as_int()
    data, ids, scales, *rest = gather.inputs
    assert data is not None and ids is not None and scales is not None and data.shape is not None and scales.shape
    blocks, features = scales.shape.numpy()[1], data.shape.numpy()[1] * 8 // bits
    require(features == blocks * block, f"node {gather.name}: rows must be whole blocks of {block}", got=features)
    made = _Nodes(graph, gather)
    codes = made.codes(made.node("Gather", data, ids, axis=0), bits)
    points = rest[0] if rest else None
    if points is None:
        shifted = made.node("Sub", made.cut(codes, blocks, block), made.number(2.0 ** (bits - 1)))
    else:
        zeros = made.codes(made.node("Gather", points, ids, axis=0), bits)
        first = made.node("Slice", zeros, made.ids([0]), made.ids([blocks]), made.ids([2]))
        shifted = made.node("Sub", made.cut(codes, blocks, block), made.cut(first, blocks, 1))
    factors = made.cut(made.node("Gather", scales, ids, axis=0), blocks, 1)
    scaled = made.node("Mul", shifted, factors)
    last = ir.node("Reshape", [scaled, made.ids([0, 0, features])], name=f"{gather.name}/rows")
    replace_node(graph, gather, last)


class _Nodes:
    """Builder of nodes that are inserted before the one that they replace."""

    def __init__(self, graph: ir.Graph, place: ir.Node) -> None:
        self._graph, self._place, self._count = graph, place, 0

    def node(self, kind: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        made = ir.node(kind, inputs, attributes, name=f"{self._place.name}/{kind}_{self._next()}")
        self._graph.insert_before(self._place, made)
        return made.outputs[0]

    def number(self, value: float) -> ir.Value:
        return add_constant(self._graph, f"{self._place.name}/number_{self._next()}", np.array(value, np.float32))

    def ids(self, values: list[int]) -> ir.Value:
        return add_constant(self._graph, f"{self._place.name}/ids_{self._next()}", np.array(values, np.int64))

    def codes(self, packed: ir.Value, bits: int) -> ir.Value:
        """Unpack bytes (batch, tokens, n) to codes (batch, tokens, n · 8 / bits) in float, the low half first."""
        whole = self.node("Cast", packed, to=int(ir.DataType.FLOAT))
        if bits == 8:
            return whole
        high = self.node("Floor", self.node("Div", whole, self.number(_NIBBLE)))
        low = self.node("Sub", whole, self.node("Mul", high, self.number(_NIBBLE)))
        halves = [self.node("Unsqueeze", half, self.ids([3])) for half in (low, high)]
        return self.node("Reshape", self.node("Concat", *halves, axis=3), self.ids([0, 0, -1]))

    def cut(self, values: ir.Value, blocks: int, block: int) -> ir.Value:
        return self.node("Reshape", values, self.ids([0, 0, blocks, block]))

    def _next(self) -> int:
        self._count += 1
        return self._count
