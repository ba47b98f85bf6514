"""Int8 weights with one scale for each output channel, multiplied with activations that each run quantizes itself."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgedraft.exporter.graph.loading import MICROSOFT, add_constant
from edgedraft.runtime.base.arrays import Float32Array

_HIGHEST = 127
_PIECE = 1 << 18


def quantize_channels(weight: Float32Array) -> tuple[npt.NDArray[np.int8], Float32Array]:
    """Int8 values of a (features, channels) matrix, and (channels,) scales that turn them back by multiplying."""
    spans = np.maximum(weight.max(axis=0), -weight.min(axis=0))
    scales = np.where(spans > 0, spans / np.float32(_HIGHEST), np.float32(1)).astype(np.float32)
    values = np.empty(weight.shape, dtype=np.int8)
    step = max(_PIECE // weight.shape[1], 1)
    for start in range(0, len(weight), step):
        values[start : start + step] = np.rint(weight[start : start + step] / scales)
    return values, scales


def dynamic_product(graph: ir.Graph, product: ir.Node, weight: Float32Array) -> ir.Node:
    """The DynamicQuantizeMatMul that stands in for a MatMul by ``weight`` (features, channels)."""
    assert product.inputs[1] is not None
    name = product.inputs[1].name
    values, scales = quantize_channels(weight)
    inputs = [
        product.inputs[0],
        add_constant(graph, f"{name}.values", values),
        add_constant(graph, f"{name}.scales", scales),
    ]
    return ir.node("DynamicQuantizeMatMul", inputs, domain=MICROSOFT, name=product.name)
