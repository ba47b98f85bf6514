"""Every head shape as a few nodes, from hidden states and a float weight to logits: alone, or put into a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.blocks import BlockScheme, quantize
from edgedraft.exporter.graph.heads.tail import find_tail
from edgedraft.exporter.graph.loading import LOGITS, drop_unread, output_named, vocabulary_width
from edgedraft.exporter.graph.packing import quantize_channels

MICROSOFT_OPS = {"MatMulNBits", "DynamicQuantizeMatMul"}
HALF, FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT


@dataclass(kw_only=True)
class Head:
    """Nodes that are being put together; ``weight`` is (hidden, vocab)."""

    weight: np.ndarray
    nodes: list[ir.Node] = field(default_factory=list)
    constants: list[ir.Value] = field(default_factory=list)

    @property
    def hidden(self) -> int:
        return self.weight.shape[0]

    @property
    def width(self) -> int:
        return self.weight.shape[1]

    def constant(self, name: str, array: np.ndarray) -> ir.Value:
        value = ir.val(f"head.{name}", const_value=ir.tensor(np.ascontiguousarray(array), name=f"head.{name}"))
        self.constants.append(value)
        return value

    def number(self, name: str, number: float) -> ir.Value:
        return self.constant(name, np.array(number, np.float32))

    def add(self, op_type: str, inputs: Sequence[ir.Value | None], outputs: int = 1, **attributes) -> ir.Value:
        domain = "com.microsoft" if op_type in MICROSOFT_OPS else ""
        name = f"head/{op_type}.{len(self.nodes)}"
        self.nodes.append(ir.node(op_type, inputs, attributes, domain=domain, name=name, num_outputs=outputs))
        return self.nodes[-1].outputs[0]

    def bias(self) -> np.ndarray:
        return np.linspace(-1, 1, self.width, dtype=np.float32)


def matmul(head: Head, states: ir.Value) -> ir.Value:
    return head.add("MatMul", [states, head.constant("weight", head.weight)])


def biased(head: Head, states: ir.Value) -> ir.Value:
    return head.add("Add", [matmul(head, states), head.constant("bias", head.bias())])


def tied(head: Head, states: ir.Value) -> ir.Value:
    turned = head.add("Transpose", [head.constant("embedding", head.weight.T)], perm=[1, 0])
    return head.add("MatMul", [states, turned])


def gemm(head: Head, states: ir.Value) -> ir.Value:
    """Rows of states, one bias for each token, and the batch put back by a Reshape."""
    rows = head.add("Reshape", [states, head.constant("rows", np.array([-1, head.hidden]))])
    inputs = [rows, head.constant("weight", head.weight), head.constant("bias", head.bias())]
    scores = head.add("Gemm", inputs, alpha=0.5, beta=2.0)
    return head.add("Reshape", [scores, head.constant("shape", np.array([1, -1, head.width]))])


def gemm_turned(head: Head, states: ir.Value) -> ir.Value:
    """The weight as (vocab, hidden), one bias for all, and the batch put back by an Unsqueeze."""
    rows = head.add("Reshape", [states, head.constant("rows", np.array([-1, head.hidden]))])
    inputs = [rows, head.constant("weight", head.weight.T), head.constant("bias", np.ones(1, np.float32))]
    scores = head.add("Gemm", inputs, transB=1)
    return head.add("Unsqueeze", [scores, head.constant("axes", np.array([0]))])


def half_weight(head: Head, states: ir.Value) -> ir.Value:
    """Stored in half precision, multiplied in single."""
    weight = head.add("Cast", [head.constant("weight", head.weight.astype(np.float16))], to=FLOAT.value)
    return head.add("MatMul", [states, weight])


def half(head: Head, states: ir.Value) -> ir.Value:
    """Multiplied in half precision, with casts before and after."""
    halves = head.add("Cast", [states], to=HALF.value)
    scores = head.add("MatMul", [halves, head.constant("weight", head.weight.astype(np.float16))])
    return head.add("Cast", [scores], to=FLOAT.value)


def soft_capped(head: Head, states: ir.Value) -> ir.Value:
    divided = head.add("Div", [matmul(head, states), head.number("cap", 3.0)])
    return head.add("Mul", [head.add("Tanh", [divided]), head.number("cap.again", 3.0)])


def scaled_and_masked(head: Head, states: ir.Value) -> ir.Value:
    """Scaled by a number that comes first, one token in seven masked, and passed on as it is."""
    scaled = head.add("Mul", [head.number("scale", 0.125), matmul(head, states)])
    mask = head.constant("mask", np.arange(head.width) % 7 == 3)
    return head.add("Identity", [head.add("Where", [mask, head.number("least", -1e4), scaled])])


def nbits(bits: int, block_size: int, *, zero_points: bool = False, bias: bool = False, level: int = 4) -> Callable:
    """MatMulNBits."""

    def build(head: Head, states: ir.Value) -> ir.Value:
        scheme = BlockScheme(bits=bits, block_size=block_size, symmetric=not zero_points, search=False)
        packed = quantize(head.weight.T, scheme)
        points = head.constant("zero_points", packed.zero_points) if packed.zero_points is not None else None
        inputs = [states, head.constant("values", packed.values), head.constant("scales", packed.scales), points]
        inputs += [None, head.constant("bias", head.bias())] if bias else []
        while inputs[-1] is None:
            inputs.pop()
        sizes = {"K": head.hidden, "N": head.width, "bits": bits, "block_size": block_size, "accuracy_level": level}
        return head.add("MatMulNBits", inputs, **sizes)

    return build


def by_tensor(head: Head, states: ir.Value) -> ir.Value:
    """DequantizeLinear with one scale for all, then MatMul."""
    scale = np.abs(head.weight).max() / np.float32(127)
    values = head.constant("values", np.rint(head.weight / scale).astype(np.int8))
    weight = head.add("DequantizeLinear", [values, head.number("scale", scale)])
    return head.add("MatMul", [states, weight])


def by_channel(head: Head, states: ir.Value) -> ir.Value:
    """DequantizeLinear of unsigned numbers with a scale and a zero point a token, then MatMul."""
    values, scales = quantize_channels(head.weight)
    inputs = [
        head.constant("values", (values.astype(np.int16) + 128).astype(np.uint8)),
        head.constant("scales", scales),
        head.constant("zero_points", np.full(head.width, 128, np.uint8)),
    ]
    return head.add("MatMul", [states, head.add("DequantizeLinear", inputs, axis=1)])


def by_channel_turned(head: Head, states: ir.Value) -> ir.Value:
    """A quantized embedding (vocab, hidden): DequantizeLinear, Transpose, MatMul."""
    values, scales = quantize_channels(head.weight)
    inputs = [head.constant("values", values.T), head.constant("scales", scales)]
    turned = head.add("Transpose", [head.add("DequantizeLinear", inputs, axis=0)], perm=[1, 0])
    return head.add("MatMul", [states, turned])


def by_block(dtype: type, lowest: int, *, zero_points: bool = False) -> Callable:
    """DequantizeLinear with a scale for each 32 features of a token, then MatMul."""

    def build(head: Head, states: ir.Value) -> ir.Value:
        blocks = head.weight.reshape(-1, 32, head.width)
        highest = -lowest - 1
        scales = (np.abs(blocks).max(axis=1) / np.float32(highest)).astype(np.float32)
        codes = np.rint(blocks / scales[:, None]).reshape(head.weight.shape)
        middle = -lowest if zero_points else 0
        inputs = [head.constant("values", (codes + middle).astype(dtype)), head.constant("scales", scales)]
        if zero_points:
            inputs.append(head.constant("zero_points", np.full(scales.shape, middle).astype(dtype)))
        return head.add("MatMul", [states, head.add("DequantizeLinear", inputs, axis=0, block_size=32)])

    return build


def integer(head: Head, states: ir.Value) -> ir.Value:
    """DynamicQuantizeLinear, MatMulInteger, Cast, Mul by both scales, Add: what dynamic quantization writes."""
    values, scales = quantize_channels(head.weight)
    quantized = head.add("DynamicQuantizeLinear", [states], outputs=3)
    scale, point = head.nodes[-1].outputs[1:]
    points = head.constant("zero_points", np.zeros(head.width, np.int8))
    sums = head.add("MatMulInteger", [quantized, head.constant("values", values), point, points])
    both = head.add("Mul", [scale, head.constant("scales", scales)])
    scores = head.add("Mul", [head.add("Cast", [sums], to=FLOAT.value), both])
    return head.add("Add", [scores, head.constant("bias", head.bias())])


def dynamic(head: Head, states: ir.Value) -> ir.Value:
    """DynamicQuantizeMatMul with a bias."""
    values, scales = quantize_channels(head.weight)
    inputs = [states, head.constant("values", values), head.constant("scales", scales), None]
    return head.add("DynamicQuantizeMatMul", [*inputs, head.constant("bias", head.bias())])


SHAPES: dict[str, Callable[[Head, ir.Value], ir.Value]] = {
    "MatMul": matmul,
    "MatMul, bias": biased,
    "MatMul, soft cap": soft_capped,
    "MatMul, scale, mask": scaled_and_masked,
    "Transpose, MatMul": tied,
    "Gemm": gemm,
    "Gemm transB": gemm_turned,
    "half weight, Cast": half_weight,
    "half MatMul, Casts": half,
    "MatMulNBits 4, block 32": nbits(4, 32),
    "MatMulNBits 4, block 128, zero points": nbits(4, 128, zero_points=True),
    "MatMulNBits 4, in float": nbits(4, 32, zero_points=True, level=1),
    "MatMulNBits 8, block 32": nbits(8, 32, bias=True),
    "MatMulNBits 8, zero points": nbits(8, 128, zero_points=True),
    "DequantizeLinear int8 by tensor": by_tensor,
    "DequantizeLinear uint8 by channel": by_channel,
    "DequantizeLinear, Transpose": by_channel_turned,
    "DequantizeLinear int8 by block": by_block(np.int8, -128),
    "DequantizeLinear int4 by block": by_block(ml_dtypes.int4, -8),
    "DequantizeLinear uint4 by block": by_block(ml_dtypes.uint4, -8, zero_points=True),
    "MatMulInteger": integer,
    "DynamicQuantizeMatMul": dynamic,
}

ANY_SIZE = (
    *(name for name in SHAPES if name.startswith(("MatMul,", "Gemm", "half"))),
    *("MatMul", "Transpose, MatMul", "DequantizeLinear int8 by tensor", "MatMulInteger", "DynamicQuantizeMatMul"),
)
"""Shapes that ONNX Runtime multiplies without blocks of weights: equal bit for bit for ragged sizes too."""


OPSETS = {"": 21, "com.microsoft": 1}


def lone_head(shape: str, hidden: int, width: int, seed: int = 0) -> ir.Model:
    """A graph of nothing but the head: hidden states (1, rows, hidden) in, logits out."""
    head = Head(weight=random_weight(hidden, width, seed))
    states = ir.val("hidden", FLOAT, [1, "rows", hidden])
    logits = SHAPES[shape](head, states)
    logits.name, logits.dtype, logits.shape = LOGITS, FLOAT, ir.Shape([1, "rows", width])
    graph = ir.Graph(
        [states], [logits], nodes=head.nodes, initializers=head.constants, opset_imports=OPSETS, name="lone head"
    )
    return ir.Model(graph, ir_version=10)


def swap_head(model: ir.Model, shape: str, hidden: int, seed: int = 0) -> ir.Model:
    """Put a random head of ``shape`` where the model's own product was; steps after that stay. Returns the model."""
    product, graph = find_tail(model).product, model.graph
    states, old = product.inputs[:2]
    head = Head(weight=random_weight(hidden, vocabulary_width(model), seed))
    is_half = output_named(model, LOGITS).dtype == HALF
    scores = SHAPES[shape](head, head.add("Cast", [states], to=FLOAT.value) if is_half else states)
    if is_half:
        scores = head.add("Cast", [scores], to=HALF.value)
    for constant in head.constants:
        graph.register_initializer(constant)
    ir.convenience.replace_nodes_and_values(graph, product, [product], head.nodes, product.outputs, [scores])
    drop_unread(graph, old)
    graph.opset_imports.update(OPSETS)
    return model


def random_weight(hidden: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(hidden, width), scale=1.5 / hidden**0.5).astype(np.float32)
