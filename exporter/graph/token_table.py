"""Packed token tables read by ONNX's own operators, which every provider runs: CPU, WebAssembly and WebGPU.

onnxruntime-web 1.30 has no GatherBlockQuantized on WebAssembly, and on WebGPU none for rows of an odd number of blocks.
Files and values stay as they are: rows are looked up packed and unpacked behind that.
"""

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.loading import add_constant, replace_node

_BYTES = np.arange(256, dtype=np.uint8)
_HALVES = np.stack([_BYTES & 15, _BYTES >> 4], axis=1).astype(np.float32)
"""The two 4-bit codes of every byte, the low half first."""


def can_spell_out(gather: ir.Node) -> bool:
    """Check for a GatherBlockQuantized of the form that this package writes; models of other tools may differ."""
    data, _, scales, *rest = gather.inputs
    arrays = [data, scales, *(value for value in rest if value is not None)]
    shaped = all(value is not None and value.shape is not None and len(value.shape) == 2 for value in arrays)
    packed = all(value is not None and value.dtype == ir.DataType.UINT8 for value in (data, *rest))
    axes = (_number(gather, "gather_axis", 0), _number(gather, "quantize_axis", 1))
    whole = _number(gather, "bits", 4) in (4, 8) and axes in ((0, 1), (0, -1))
    return shaped and packed and whole and scales is not None and scales.dtype == ir.DataType.FLOAT


def spell_out(gather: ir.Node) -> None:
    """Replace a GatherBlockQuantized over ids (batch, tokens) by plain nodes; every value stays the same.

    Each block of a row is (code - zero point) · scale. A last block that is not full is filled up, then cut off again.
    """
    graph = gather.graph
    assert isinstance(graph, ir.Graph)
    bits, block = _number(gather, "bits", 4), _number(gather, "block_size", 128)
    data, ids, scales, *rest = gather.inputs
    assert data is not None and ids is not None and scales is not None and data.shape is not None and scales.shape
    blocks, features = scales.shape.numpy()[1], data.shape.numpy()[1] * 8 // bits
    made = _Nodes(graph, gather)
    codes = made.codes(made.node("Gather", data, ids, axis=0), bits)
    codes = made.cut(made.filled(codes, features, blocks * block), blocks, block)
    points = rest[0] if rest else None
    if points is None or points.shape is None:
        zeros = made.number(2.0 ** (bits - 1))
    else:
        assert points.shape is not None
        zeros = made.codes(made.node("Gather", points, ids, axis=0), bits)
        zeros = made.cut(made.first(zeros, points.shape.numpy()[1] * 8 // bits, blocks), blocks, 1)
    factors = made.cut(made.node("Gather", scales, ids, axis=0), blocks, 1)
    scaled = made.node("Mul", made.node("Sub", codes, zeros), factors)
    rows = made.node("Reshape", scaled, made.ids([0, 0, blocks * block]))
    last = made.first(rows, blocks * block, features).producer()
    assert last is not None
    graph.remove(last)  # it comes back below with the name of the value that others read
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
        """Unpack bytes (batch, tokens, n) to codes (batch, tokens, n · 8 / bits) in float."""
        if bits == 8:
            return self.node("Cast", packed, to=int(ir.DataType.FLOAT))
        halves = add_constant(self._graph, f"{self._place.name}/halves_{self._next()}", _HALVES)
        pairs = self.node("Gather", halves, self.node("Cast", packed, to=int(ir.DataType.INT32)), axis=0)
        return self.node("Reshape", pairs, self.ids([0, 0, -1]))

    def cut(self, values: ir.Value, blocks: int, block: int) -> ir.Value:
        return self.node("Reshape", values, self.ids([0, 0, blocks, block]))

    def filled(self, values: ir.Value, width: int, wanted: int) -> ir.Value:
        return values if width == wanted else self.node("Pad", values, self.ids([0, 0, 0, 0, 0, wanted - width]))

    def first(self, values: ir.Value, width: int, wanted: int) -> ir.Value:
        if width == wanted:
            return values
        return self.node("Slice", values, self.ids([0]), self.ids([wanted]), self.ids([2]))

    def _next(self) -> int:
        self._count += 1
        return self._count


def _number(node: ir.Node, name: str, default: int) -> int:
    known = node.attributes.get(name)
    return default if known is None else known.as_int()
