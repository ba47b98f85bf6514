"""The needs of a graph: its data files, its largest weight, half precision, and operators outside of ONNX's own."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from edgedraft.exporter.graph.loading import MICROSOFT
from edgedraft.exporter.graph.providers import Provider, check_tensor
from edgedraft.exporter.graph.rope_switch import note_rope_switch
from edgedraft.runtime.bundle.manifest import ODD_TOKEN_TABLE, ROPE_SWITCH_AT

_HALF = ir.DataType.FLOAT16


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphNeeds:
    """The needs of one graph: ``data`` names the data files beside it, ``largest`` its largest weight.

    ``operators`` are those outside of ONNX's own by name, sorted, `ODD_TOKEN_TABLE` where there is one, and
    `ROPE_SWITCH_AT` with a length where there are two rotary tables.
    """

    data: tuple[str, ...]
    largest: str
    largest_tensor_bytes: int
    half: bool
    operators: tuple[str, ...] = ()


def graph_needs(model: ir.Model) -> GraphNeeds:
    """Collect the needs of a model, whose weights may lie in memory or on disk."""
    tensors = list(weights(model))
    sizes = {str(tensor.name): tensor.nbytes for tensor in tensors}
    largest = max(sizes, key=sizes.__getitem__, default="")
    outside = (os.fspath(tensor.location) for tensor in tensors if isinstance(tensor, ir.ExternalTensor))
    return GraphNeeds(
        data=tuple(sorted(set(outside))),
        largest=largest,
        largest_tensor_bytes=sizes.get(largest, 0),
        half=any(tensor.dtype == _HALF for tensor in tensors) or _computes_in_half(model),
        operators=tuple(sorted(_operators(model))),
    )


def require_bindable(model: ir.Model, role: str, provider: Provider) -> None:
    """Refuse a model with a weight that ``provider`` may not be able to hold."""
    needs = graph_needs(model)
    check_tensor(provider, f"{role}: {needs.largest}", needs.largest_tensor_bytes)


def weights(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Yield every initializer, those of subgraphs too."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield value.const_value


def has_odd_blocks(gather: ir.Node) -> bool:
    """Check whether a GatherBlockQuantized reads 4-bit zero points of an odd number of blocks a row.

    Two of them share a byte, so that such a row leaves half a byte over, which WebGPU's kernel refuses.
    """
    scales, points = (value.const_value if value is not None else None for value in (*gather.inputs, None, None)[2:4])
    bits = gather.attributes.get("bits")
    if scales is None or points is None or points.dtype != ir.DataType.UINT8 or (bits and bits.as_int() != 4):
        return False
    return bool(scales.shape.numpy()[-1] % 2)


def _operators(model: ir.Model) -> set[str]:
    """Return the operators that not every provider has a kernel for."""
    nodes = [node for graph in model.graphs() for node in graph if node.domain == MICROSOFT]
    odd = any(node.op_type == "GatherBlockQuantized" and has_odd_blocks(node) for node in nodes)
    switch = note_rope_switch(model)
    two_tables = set() if switch is None else {f"{ROPE_SWITCH_AT}{switch}"}
    return {node.op_type for node in nodes} | ({ODD_TOKEN_TABLE} if odd else set()) | two_tables


def _computes_in_half(model: ir.Model) -> bool:
    """Check whether a value or a constant of a node is half; types that the graph does not state follow from those."""
    for graph in model.graphs():
        values = [*graph.inputs, *graph.outputs, *(value for node in graph for value in node.outputs)]
        if any(value.dtype == _HALF for value in values):
            return True
        if any(_makes_half(attribute) for node in graph for attribute in node.attributes.values()):
            return True
    return False


def _makes_half(attribute: ir.Attr) -> bool:
    """Check for a tensor of half numbers, or a Cast to half."""
    if attribute.is_ref():
        return False
    if attribute.type == ir.AttributeType.TENSOR:
        return attribute.as_tensor().dtype == _HALF
    return attribute.name == "to" and attribute.type == ir.AttributeType.INT and attribute.as_int() == _HALF
