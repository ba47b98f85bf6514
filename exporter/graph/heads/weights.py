"""The way from a product to its weight: the known steps between them, each followed to the constant behind it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import onnx_ir as ir

from edgedraft.exporter.graph.heads.cuts import (
    Cut,
    constant_at,
    constant_of,
    cut_numbers,
    cut_rows,
    input_at,
    label,
    refusal,
    require_rows,
)
from edgedraft.runtime.base.records import require

_Step = Callable[[ir.Node, int, int], list[Cut]]


def weight_cuts(node: ir.Node, position: int, axis: int, width: int) -> list[Cut]:
    """List the cuts of the matrix at ``position``, whose tokens lie along ``axis``; the weight itself comes first."""
    if constant_of(input_at(node, position)) is not None:
        return [cut_rows(node, position, axis, width)]
    maker = _maker(node, position)
    return [
        replace(cut, node=node, path=(position, *cut.path)) for cut in WEIGHT_STEPS[maker.op_type](maker, axis, width)
    ]


def require_one_weight(node: ir.Node, values: Sequence[ir.Value | None]) -> None:
    """Refuse a node if several of ``values`` are constant matrices, because any of them may be the head's."""
    names = [name for value in values if (name := weight_name(value)) is not None]
    if len(names) > 1:
        raise refusal(node, "expected one weight", got=" and ".join(names), remedy="merge them in the export")


def weight_name(value: ir.Value | None) -> str | None:
    """Return the name of the constant matrix that ``value`` is or is made from, None if there is none."""
    tensor = constant_of(value)
    if value is None or tensor is not None:
        return str(value.name) if value is not None and tensor is not None and len(tensor.shape) > 1 else None
    maker = value.producer()
    return weight_name(maker.inputs[0]) if maker is not None and maker.op_type in WEIGHT_STEPS else None


def _maker(node: ir.Node, position: int) -> ir.Node:
    """Return the node that makes the matrix at ``position``; raise an error if it is not one of the known steps."""
    value = input_at(node, position)
    maker = value.producer() if value is not None else None
    if maker is None:
        raise refusal(node, f"input {position} is not a constant weight")
    if maker.op_type not in WEIGHT_STEPS:
        require_one_weight(maker, maker.inputs)
        known = ", ".join(sorted(WEIGHT_STEPS))
        raise refusal(maker, f"expected a constant weight or one behind {known}", got=maker.op_type)
    return maker


def _same_rows(step: ir.Node, axis: int, width: int) -> list[Cut]:
    """List the cuts behind a Cast or Identity: rows stay where they are."""
    return weight_cuts(step, 0, axis, width)


def _transpose(step: ir.Node, axis: int, width: int) -> list[Cut]:
    """List the cuts behind a Transpose of a tied embedding (vocab, hidden): its rows lie along the other axis."""
    turned = step.attributes.get("perm")
    order = list(turned.as_ints()) if turned is not None else [1, 0]
    require(sorted(order) == [0, 1], f"LM head: node {label(step)}: expected a matrix", got=f"perm {order}")
    return weight_cuts(step, 0, order[axis], width)


def _dequantize(step: ir.Node, axis: int, width: int) -> list[Cut]:
    """List the cuts behind a DequantizeLinear: one scale for all, one per channel, or one per block of features.

    Inputs: 0 values, 1 scales, 2 zero points, which have the shape of the scales.
    """
    cuts = weight_cuts(step, 0, axis, width)
    rank = len(constant_at(step, 1).shape)
    by = step.attributes.get("axis")
    channels = (by.as_int() if by is not None else 1) % 2  # of a matrix; the axis may be counted from its end
    if rank == 2:
        rule = f"LM head: node {label(step)}: blocks must lie along the features"
        require(channels != axis, rule, got=f"axis {channels}", remedy="quantize the head by blocks of each row")
        return [*cuts, *(_like_scales(step, position, axis, width) for position in _given(step))]
    if rank == 1 and channels == axis:
        return [*cuts, *(cut for position in _given(step) for cut in cut_numbers(step, position, width))]
    return cuts


def _given(step: ir.Node) -> list[int]:
    return [position for position in (1, 2) if input_at(step, position) is not None]


def _like_scales(step: ir.Node, position: int, axis: int, width: int) -> Cut:
    tensor = constant_at(step, position)
    require_rows(step, tensor.shape[axis], width)
    return Cut(node=step, path=(position,), axis=axis, tensor=tensor)


WEIGHT_STEPS: dict[str, _Step] = {
    "Cast": _same_rows,
    "DequantizeLinear": _dequantize,
    "Identity": _same_rows,
    "Transpose": _transpose,
}
"""The steps that may stand between a weight and its product."""
