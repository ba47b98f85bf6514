"""ONNX decoder graphs through onnx-ir: load, save, look up values, change nodes, count weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.external import check_external, check_protobuf_size, take_constants_inside
from edgedraft.exporter.graph.sharing import point_to_originals, without_copies
from edgedraft.runtime.base.arrays import AnyArray
from edgedraft.runtime.base.errors import EdgedraftError, first_line
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.signature import IN_PLACE, cache_slot
from edgedraft.runtime.onnx.state_inputs import state_slot

LOGITS = "logits"
MICROSOFT = "com.microsoft"

INLINE_BYTES = 1 << 10
"""Smaller tensors stay in the graph file: among them are shapes and axes, which ONNX Runtime infers other shapes from
when it opens the graph, and cannot read from a data file then."""

_CACHE_WINDOW = "sliding_window_cache"

_TABLE_READERS = {"Gather", "GatherBlockQuantized", "GroupQueryAttention", "RotaryEmbedding"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSize:
    """Weights that one step multiplies with, as a number and in bytes; tables that are only looked up do not count."""

    parameters: int
    weight_bytes: int


def load_graph(path: Path) -> ir.Model:
    """Load a model; external data is checked, and stays on disk until it is needed."""
    require(path.is_file(), f"{path}: no such ONNX file")
    check_protobuf_size(path)
    try:
        model = ir.load(path)
    except Exception as error:  # onnx raises protobuf's own classes for broken files
        raise EdgedraftError(f"{path}: not an ONNX model that can be read", got=first_line(_root(error))) from error
    check_external(model, path)
    take_constants_inside(model, path)
    return model


def _root(error: BaseException) -> BaseException:
    """Return the first cause of an error; onnx-ir wraps it once for every part that it lies in."""
    before = error.__cause__ or error.__context__
    return error if before is None else _root(before)


def save_graph(model: ir.Model, path: Path, data_name: str, limit: int | None = None) -> None:
    """Write the graph with its tensors in a data file beside it, all but those of `INLINE_BYTES` or fewer.

    Data of more than ``limit`` bytes goes to several files, each of at most ``limit`` bytes or one tensor. Tensors that
    lie on disk are copied from file to file, one after the other; none of them is loaded. Equal ones are stored once.
    """
    with without_copies(model) as copies:
        ir.save(model, path, external_data=data_name, size_threshold_bytes=INLINE_BYTES, max_shard_size_bytes=limit)
    point_to_originals(path, copies)


def add_constant(graph: ir.Graph, name: str, array: AnyArray) -> ir.Value:
    """Add a constant to ``graph`` that holds ``array``."""
    value = ir.val(name, const_value=ir.tensor(np.asarray(array, order="C"), name=name))
    graph.register_initializer(value)
    return value


def drop_unread(graph: ir.Graph, value: ir.Value) -> None:
    """Delete a constant that nothing reads any more; a tied one stays for its other readers."""
    if value.name is not None and value.name in graph.initializers and not value.uses():
        del graph.initializers[value.name]


def drop_maker(graph: ir.Graph, value: ir.Value) -> None:
    """Delete the node that makes ``value`` if nothing reads that any more."""
    maker = value.producer()
    if maker is not None and not value.uses():
        graph.remove(maker, safe=True)


def release(tensor: ir.TensorProtocol) -> None:
    """Close the file behind a tensor that was read from one, so that its pages no longer count as ours."""
    if isinstance(tensor, ir.ExternalTensor):
        tensor.release()


def replace_node(graph: ir.Graph, old: ir.Node, new: ir.Node) -> None:
    """Put ``new`` in the place of ``old``; both make one value, which keeps its name, type and shape."""
    ir.convenience.replace_nodes_and_values(graph, old, [old], [new], old.outputs, new.outputs)
    graph.opset_imports.setdefault(MICROSOFT, 1)


def output_named(model: ir.Model, name: str) -> ir.Value:
    """Return the graph output called ``name``; the error lists those there are."""
    for value in model.graph.outputs:
        if value.name == name:
            return value
    raise EdgedraftError(f"graph output {name}: not found", got=[value.name for value in model.graph.outputs][:5])


def vocabulary_width(model: ir.Model) -> int:
    """Return the width of the logits."""
    shape = output_named(model, LOGITS).shape
    width = shape[-1] if shape is not None else None
    if not isinstance(width, int):
        raise EdgedraftError("graph output logits: expected a fixed width", got=width)
    return width


def model_size(model: ir.Model) -> ModelSize:
    """Count the weights that every step reads whole."""
    read = [
        value for value in model.graph.initializers.values() if value.const_value is not None and _is_multiplied(value)
    ]
    return ModelSize(
        parameters=sum(_parameters(value) for value in read),
        weight_bytes=sum(value.const_value.nbytes for value in read if value.const_value is not None),
    )


def past_and_present(model: ir.Model) -> list[tuple[ir.Value, ir.Value]]:
    """Pair each input of past keys or values with the output that it becomes."""
    presents = {cache_slot(str(value.name)): value for value in model.graph.outputs}
    pasts = [(value, cache_slot(str(value.name))) for value in model.graph.inputs]
    return [
        (past, presents.get(slot) or output_named(model, str(past.name).replace("past_key_values", "present", 1)))
        for past, slot in pasts
        if slot is not None
    ]


def in_place(past: ir.Value, present: ir.Value) -> bool:
    """Check whether ``present`` is written into the buffer of ``past``, by the same rule as the runtime's."""
    assert past.shape is not None and present.shape is not None
    length = past.shape[2]
    named = isinstance(length, int) or length.value is not None
    readers = {node.op_type for node in past.consumers()}
    return (named and length == present.shape[2]) or (bool(readers) and readers <= IN_PLACE)


def cache_bytes_per_token(model: ir.Model) -> int:
    """Return the bytes of one token's keys and values in all layers, twice where the graph appends to its past."""
    total = 0
    for past, present in past_and_present(model):
        assert past.shape is not None and past.dtype is not None
        heads, size = past.shape[1], past.shape[3]
        if not isinstance(heads, int) or not isinstance(size, int):
            raise EdgedraftError(f"graph input {past.name}: expected fixed heads and head size", got=past.shape)
        # The runtime keeps one buffer where the graph writes in place; else past and present are alive together.
        total += heads * size * int(past.dtype.itemsize) * (1 if in_place(past, present) else 2)
    return total


def state_bytes(model: ir.Model) -> int:
    """Return the bytes of one copy of all recurrent states, which do not grow with the text."""
    states = [value for value in model.graph.inputs if state_slot(str(value.name)) is not None]
    return sum(_state_size(value) for value in states)


def _state_size(value: ir.Value) -> int:
    assert value.shape is not None and value.dtype is not None
    return int(value.dtype.itemsize) * prod(size for size in value.shape.dims[1:] if isinstance(size, int))


def fix_cache_shapes(model: ir.Model) -> None:
    """Write the head size into the past and present shapes, which the model builder leaves symbolic.

    The runtime allocates its buffers from the graph alone.
    """
    for past, present in past_and_present(model):
        if past.shape is None or isinstance(past.shape[3], int):
            continue
        head_size = _head_size(past)
        for value in (past, present):
            assert value.shape is not None
            value.shape = ir.Shape([*value.shape.dims[:3], head_size])


def drop_cache_windows(model: ir.Model) -> bool:
    """Let layers that attend to a window keep their whole past, in place; return whether any did not.

    Such a buffer must be as long as the window even where the context is shorter, and forgets what a rewind may need.
    What a layer attends to stays the same.
    """
    windowed = [node for node in model.graph if _CACHE_WINDOW in node.attributes]
    for node in windowed:
        del node.attributes[_CACHE_WINDOW]
    return bool(windowed)


def _head_size(past: ir.Value) -> int:
    """Return the head size, from the attention node that reads ``past`` and the projection behind it.

    A gate may stand between the two.
    """
    for attention in past.consumers():
        heads = attention.attributes.get("num_heads")
        gates = [node for node in attention.outputs[0].consumers() if node.op_type == "Mul"]
        read = [attention.outputs[0], *(gate.outputs[0] for gate in gates)]
        widths = [_input_width(projection) for value in read for projection in value.consumers()]
        width = next((width for width in widths if width is not None), None)
        if heads is not None and width is not None:
            return width // heads.as_int()
    raise EdgedraftError(f"graph input {past.name}: cannot tell the head size", remedy="export with fixed cache shapes")


def _input_width(node: ir.Node) -> int | None:
    """Return how many features a matrix product takes in, None for any other node."""
    if node.op_type == "MatMulNBits":
        return node.attributes["K"].as_int()
    operand = node.inputs[1] if node.op_type in ("MatMul", "DynamicQuantizeMatMul") else None
    weight = operand.const_value if operand is not None else None
    return weight.shape.numpy()[0] if weight is not None else None


def _is_multiplied(value: ir.Value) -> bool:
    return any(node.op_type not in _TABLE_READERS for node in value.consumers())


def _parameters(value: ir.Value) -> int:
    """Count the weights of an initializer; a quantized matrix counts by its packed values, its scales not at all."""
    for node, position in _uses(value):
        if node.op_type == "MatMulNBits":
            return node.attributes["K"].as_int() * node.attributes["N"].as_int() if position == 1 else 0
        if node.op_type == "DynamicQuantizeMatMul" and position != 1:
            return 0
    return int(value.const_value.size) if value.const_value is not None else 0


def _uses(value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
    for use in value.uses():
        yield use.node, use.idx
