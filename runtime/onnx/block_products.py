"""Find a graph's products with block-wise weights (MatMulNBits), and decide if our kernels may compute them.

Our kernels replace onnxruntime's for a whole session, so one product that they cannot compute keeps all of them away.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgedraft.runtime.base.graph_file import last_number, messages, opened_graph_file, texts

PORTABLE_SHARE = 0.01
"""Of the weights' bytes, this much may take the slow portable kernel before stock kernels are the better choice."""

# Field numbers from onnx.proto.
_MODEL_GRAPH, _MODEL_FUNCTION, _FUNCTION_NODE = 7, 25, 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _VALUE_NAME = 1, 5, 11, 1
_NODE_INPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INTEGER, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 1, 3, 6, 11
_TENSOR_TYPE, _TENSOR_NAME = 2, 8
_FLOAT32, _UINT8 = 1, 2

_OPERATOR, _INTEGER_PRODUCTS = "MatMulNBits", 4
_CONSTANT_TYPES = {"B": _UINT8, "scales": _FLOAT32, "zero_points": _UINT8, "bias": _FLOAT32}
_INPUTS = ("A", "B", "scales", "zero_points", "g_idx", "bias")
_BLOCK_SIZES = (16, 32, 64, 128, 256)

_Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockProduct:
    """One product: its integer attributes, its inputs' names, and the element types of those that are constants."""

    attributes: dict[str, int]
    inputs: dict[str, str]
    constant_types: dict[str, int]

    @property
    def weight_bytes(self) -> int:
        """Return the size of the weights without scales."""
        return self.attributes.get("N", 0) * self.attributes.get("K", 0) * self.attributes.get("bits", 4) // 8

    def refusal(self) -> str | None:
        """Return why no kernel of ours computes this; None where one does."""
        if self.attributes.get("accuracy_level", 0) != _INTEGER_PRODUCTS:
            return "a product asks for more than int8 accuracy"
        if self.attributes.get("bits", 4) not in (2, 4, 8) or self.attributes.get("block_size") not in _BLOCK_SIZES:
            return "a product has weights of another layout"
        if "g_idx" in self.inputs or self.attributes.get("weight_prepacked", 0):
            return "a product has its weights in another order"
        if any(self.constant_types.get(self.inputs[name]) != _CONSTANT_TYPES[name] for name in self._constants()):
            return "a product's weights are computed, or have another type"
        return None

    def _constants(self) -> Iterator[str]:
        return (name for name in _CONSTANT_TYPES if name in self.inputs)


def why_stock(path: Path, *, forced: bool = False) -> str | None:
    """Return why a session on this graph keeps onnxruntime's kernels; None where ours may take their place.

    With ``forced`` the share of the portable kernel does not count. Raises `EdgedraftError` if it is no ONNX model.
    """
    products = block_products(path)
    if not products:
        return "no products with block-wise weights"
    for product in products:
        reason = product.refusal()
        if reason is not None:
            return reason
    total = sum(product.weight_bytes for product in products)
    portable = sum(product.weight_bytes for product in products if product.attributes.get("bits", 4) == 2)
    return "too many 2-bit weights" if portable > PORTABLE_SHARE * total and not forced else None


def block_products(path: Path) -> list[BlockProduct]:
    """Return every MatMulNBits of the model, also those in branches, loops and functions."""
    with opened_graph_file(path) as data:
        model = (0, len(data))
        found = [p for graph in messages(data, model, _MODEL_GRAPH) for p in _in_graph(data, graph, {})]
        functions = messages(data, model, _MODEL_FUNCTION)
        return found + [p for body in functions for p in _among(data, messages(data, body, _FUNCTION_NODE), {})]


def _in_graph(data: mmap.mmap, graph: _Span, outer: dict[str, int]) -> Iterator[BlockProduct]:
    constants = dict(outer)
    for tensor in messages(data, graph, _GRAPH_INITIALIZER):
        constants |= dict.fromkeys(texts(data, tensor, _TENSOR_NAME), last_number(data, tensor, _TENSOR_TYPE))
    for value in messages(data, graph, _GRAPH_INPUT):
        for name in texts(data, value, _VALUE_NAME):
            constants.pop(name, None)  # an input with a default value is no constant
    yield from _among(data, messages(data, graph, _GRAPH_NODE), constants)


def _among(data: mmap.mmap, nodes: Iterator[_Span], constants: dict[str, int]) -> Iterator[BlockProduct]:
    for node in nodes:
        attributes = list(messages(data, node, _NODE_ATTRIBUTE))
        if texts(data, node, _NODE_OPERATOR)[-1:] == [_OPERATOR]:
            yield _product(data, node, attributes, constants)
        for attribute in attributes:
            for number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                for graph in messages(data, attribute, number):
                    yield from _in_graph(data, graph, constants)


def _product(data: mmap.mmap, node: _Span, attributes: list[_Span], constants: dict[str, int]) -> BlockProduct:
    inputs = {place: name for place, name in zip(_INPUTS, texts(data, node, _NODE_INPUT), strict=False) if name}
    return BlockProduct(
        attributes={
            name: last_number(data, attribute, _ATTRIBUTE_INTEGER)
            for attribute in attributes
            for name in texts(data, attribute, _ATTRIBUTE_NAME)
        },
        inputs=inputs,
        constant_types={name: constants[name] for name in inputs.values() if name in constants},
    )
