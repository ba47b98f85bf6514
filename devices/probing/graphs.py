"""The graphs that the probe times: chains of normalised square products in a precision's layout, and a plain reader."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from edgedraft.runtime.base.errors import MissingExtraError
from edgedraft.runtime.base.records import require

INT4, INT4_BLOCK32, INT8, INT8_DYNAMIC, FP32, FP16 = "int4", "int4-block32", "int8", "int8-dynamic", "fp32", "fp16"

INTEGER_PRODUCTS, FLOAT_PRODUCTS = 4, 1
"""Accuracy levels of block-wise products; bundles for a browser's providers are written with the second."""

_MICROSOFT = "com.microsoft"
_OPSETS, _IR_VERSION = {"": 17, _MICROSOFT: 1}, 10
_GAIN = "gain"


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphSpec:
    """A chain to build: at least ``weight_bytes`` of weights in products of ``width`` × ``width``.

    Real passes wait between their products for norms and the like, so a norm follows every product; it also keeps the
    values near 1. ``accuracy_level`` is for block-wise products alone.
    """

    precision: str
    width: int
    weight_bytes: int
    accuracy_level: int = INTEGER_PRODUCTS


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """A built chain: the serialized graph, its number of matrix products, and the bytes that one pass reads."""

    graph: bytes
    layers: int
    weight_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Product:
    """One product by a constant matrix: operator, constants by name, attributes."""

    operator: str
    constants: dict[str, np.ndarray]
    attributes: dict[str, Any]


_Maker = Callable[[GraphSpec, np.random.Generator], _Product]


def require_onnx() -> None:
    """Refuse at once, naming the extra, where graphs cannot be built."""
    if find_spec("onnx") is None:
        raise MissingExtraError("onnx", "probe")


def input_dtype(precision: str) -> type[np.floating[Any]]:
    """Return the type of a chain's input and output."""
    return np.float16 if precision == FP16 else np.float32


def build_chain(spec: GraphSpec) -> Chain:
    """Input (rows, width), output (rows, width).

    Every product has other weights: ONNX Runtime keeps equal ones once, and a cache would hold them.
    """
    from onnx import TensorProto, helper, numpy_helper

    require(spec.precision in _PATTERNS, f"probe: expected one of {', '.join(_PATTERNS)}", got=spec.precision)
    rng, dtype = np.random.default_rng(0), input_dtype(spec.precision)
    makers = _PATTERNS[spec.precision]
    products = {maker: maker(spec, rng) for maker in dict.fromkeys(makers)}
    nodes, tensors, read = [], [numpy_helper.from_array(np.ones(spec.width, dtype=dtype), _GAIN)], 0
    layers = 0
    while read < spec.weight_bytes:
        product = products[makers[layers % len(makers)]]
        names = [f"{name}{layers}" for name in product.constants]
        shifted = (np.roll(array, layers) for array in product.constants.values())
        tensors += map(numpy_helper.from_array, shifted, names)
        nodes += _layer_nodes(product, names, layers)
        read += sum(array.nbytes for array in product.constants.values())
        layers += 1
    kind = TensorProto.FLOAT16 if dtype == np.float16 else TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(f"x{place}", kind, ["rows", spec.width]) for place in (0, layers)]
    graph = _serialized(helper.make_graph(nodes, "chain", ends[:1], ends[1:], tensors))
    return Chain(graph=graph, layers=layers, weight_bytes=read)


def build_reader() -> bytes:
    """Means of the rows of a (rows, columns) input: reading with next to nothing to calculate."""
    from onnx import TensorProto, helper

    ends = [
        helper.make_tensor_value_info("values", TensorProto.FLOAT, ["rows", "columns"]),
        helper.make_tensor_value_info("means", TensorProto.FLOAT, ["rows"]),
    ]
    node = helper.make_node("ReduceMean", ["values"], ["means"], axes=[1], keepdims=0)
    return _serialized(helper.make_graph([node], "reader", ends[:1], ends[1:]))


def _layer_nodes(product: _Product, constants: list[str], place: int) -> list[Any]:
    """Return the product that reads ``x<place>``, and the norm that makes the next one's input."""
    from onnx import helper

    domain = "" if product.operator == "MatMul" else _MICROSOFT
    inputs, outputs = [f"x{place}", *constants], [f"product{place}"]
    return [
        helper.make_node(product.operator, inputs, outputs, domain=domain, **product.attributes),
        helper.make_node("SimplifiedLayerNormalization", [*outputs, _GAIN], [f"x{place + 1}"], axis=-1, epsilon=1e-6),
    ]


def _serialized(graph: Any) -> bytes:
    from onnx import helper

    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
    serialized: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()
    return serialized


def _blocks(bits: int, block_size: int, *, zero_points: bool = False) -> _Maker:
    """MatMulNBits; random codes stand for weights of variance 1/width around their middle."""

    def make(spec: GraphSpec, rng: np.random.Generator) -> _Product:
        width, blocks = spec.width, spec.width // block_size
        scale = np.sqrt(12 / width) / 2**bits
        constants: dict[str, np.ndarray] = {
            "values": rng.integers(0, 256, (width, blocks, block_size * bits // 8), dtype=np.uint8),
            "scales": np.full((width, blocks), scale, dtype=np.float32),
        }
        if zero_points:
            constants["zeros"] = np.full((width, -(-blocks * bits // 8)), {4: 0x88, 8: 0x80}[bits], dtype=np.uint8)
        numbers = {"K": width, "N": width, "bits": bits, "block_size": block_size}
        numbers["accuracy_level"] = spec.accuracy_level
        return _Product(operator="MatMulNBits", constants=constants, attributes=numbers)

    return make


def _channels(spec: GraphSpec, rng: np.random.Generator) -> _Product:
    """DynamicQuantizeMatMul with a scale for each output channel."""
    width = spec.width
    values = rng.integers(-127, 128, (width, width), dtype=np.int8)
    scales = np.full(width, np.sqrt(12 / width) / 256, dtype=np.float32)
    return _Product(operator="DynamicQuantizeMatMul", constants={"values": values, "scales": scales}, attributes={})


def _floats(dtype: type[np.floating[Any]]) -> _Maker:
    def make(spec: GraphSpec, rng: np.random.Generator) -> _Product:
        width = spec.width
        values = rng.standard_normal((width, width), dtype=np.float32) / np.float32(np.sqrt(width))
        return _Product(operator="MatMul", constants={"values": values.astype(dtype)}, attributes={})

    return make


_INT4_BLOCKS, _INT8_BLOCKS = _blocks(4, 128, zero_points=True), _blocks(8, 128)

# Which layouts follow each other. Exported int4 models hold a tenth of their weights, the attention's, in 8 bits;
# int8-dynamic ones hold a quarter, the projections out of the feed-forward, block-wise.
_PATTERNS: dict[str, tuple[_Maker, ...]] = {
    INT4: (_INT8_BLOCKS, *[_INT4_BLOCKS] * 9),
    INT4_BLOCK32: (_blocks(4, 32),),
    INT8: (_INT8_BLOCKS,),
    INT8_DYNAMIC: (_INT8_BLOCKS, *[_channels] * 3),
    FP32: (_floats(np.float32),),
    FP16: (_floats(np.float16),),
}
PROBED_PRECISIONS = tuple(_PATTERNS)
