"""Products that make logits: for each kind, the constants that hold a row for every token."""

from collections.abc import Callable

import onnx_ir as ir

from edgedraft.exporter.graph.heads.cuts import (
    Cut,
    constant_at,
    cut_numbers,
    input_at,
    label,
    refusal,
    require_rows,
)
from edgedraft.exporter.graph.heads.weights import require_one_weight, weight_cuts
from edgedraft.runtime.base.records import require


def product_cuts(product: ir.Node, width: int) -> list[Cut]:
    """List the cuts of all constants with a row for each of ``width`` tokens; the weight comes first."""
    require_one_weight(product, product.inputs[:2])
    return PRODUCTS[product.op_type](product, width)


def row_parameters(product: ir.Node, weight: ir.TensorProtocol, width: int) -> int:
    """Count the weights in one row; a packed byte holds several, so there the node's K says how many."""
    packed = product.attributes.get("K")
    return packed.as_int() if packed is not None else int(weight.size) // width


def set_width(product: ir.Node, size: int) -> None:
    """Write the new number of rows where the node states it."""
    if "N" in product.attributes:
        product.attributes["N"] = ir.AttrInt64("N", size)


def _matmul(product: ir.Node, width: int) -> list[Cut]:
    """List the cuts of a MatMul: weight (hidden, vocab)."""
    return weight_cuts(product, 1, 1, width)


def _gemm(product: ir.Node, width: int) -> list[Cut]:
    """List the cuts of a Gemm, alpha · states · weight + beta · bias: weight (hidden, vocab), or turned with transB."""
    turned = product.attributes.get("transB")
    axis = 0 if turned is not None and turned.as_int() else 1
    return [*weight_cuts(product, 1, axis, width), *cut_numbers(product, 2, width)]


def _matmul_integer(product: ir.Node, width: int) -> list[Cut]:
    """List the cuts of a MatMulInteger: weight (hidden, vocab), zero points at 3; scales follow in later steps."""
    return [*weight_cuts(product, 1, 1, width), *cut_numbers(product, 3, width)]


def _dynamic(product: ir.Node, width: int) -> list[Cut]:
    """List the cuts of a DynamicQuantizeMatMul: int8 weight (hidden, vocab), scales 2, zero points 3, bias 4."""
    numbers = [cut for position in (2, 3, 4) for cut in cut_numbers(product, position, width)]
    return [*weight_cuts(product, 1, 1, width), *numbers]


def _matmul_nbits(product: ir.Node, width: int) -> list[Cut]:
    """List the cuts of a MatMulNBits: its inputs are laid out row by row, so a slice needs no requantization.

    Inputs: 1 packed values (vocab, blocks, bytes); 2 scales; 3 zero points; 5 bias; the last three may be flat.
    """
    require_rows(product, product.attributes["N"].as_int(), width)
    require(input_at(product, 4) is None, f"LM head: node {label(product)}: g_idx is not supported")
    order = product.attributes.get("weight_prepacked")
    if order is not None and order.as_int():
        raise refusal(product, "weights packed for one GPU cannot be cut", remedy="export them in the common layout")
    return [_packed(product, at, width) for at in (1, 2, 3, 5) if input_at(product, at) is not None]


def _packed(product: ir.Node, position: int, width: int) -> Cut:
    tensor = constant_at(product, position)
    rule = f"LM head: node {label(product)}: input {position}: expected a row for each of {width} tokens"
    require(tensor.shape.numpy()[0] % width == 0, rule, got=list(tensor.shape))
    return Cut(node=product, path=(position,), axis=0, tensor=tensor)


PRODUCTS: dict[str, Callable[[ir.Node, int], list[Cut]]] = {
    "DynamicQuantizeMatMul": _dynamic,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
    "MatMulNBits": _matmul_nbits,
}
"""The products that a head may be."""
