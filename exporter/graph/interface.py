"""Change the inputs and outputs of a copied decoder graph to those that the runtime uses."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.checkpoints import add_checkpoints
from edgedraft.exporter.graph.heads.cuts import constant_of, input_at
from edgedraft.exporter.graph.heads.tail import Tail, find_tail
from edgedraft.exporter.graph.loading import (
    LOGITS,
    drop_cache_windows,
    drop_maker,
    fix_cache_shapes,
    load_graph,
    output_named,
    past_and_present,
)
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.signature import FEEDS, IDS, cache_slot, read_signature

_CACHES = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
"""The types that keys and values keep; numpy, and so the runtime, knows no bfloat16."""

_SEQUENCE_AXIS = 1


def adapt_interface(model: ir.Model) -> bool:
    """Change ``model``, in place, so that the runtime can run it; return whether layers have windows.

    The weights are unchanged. Logits become float32 and are returned for every token. Ids and masks become int64, and
    bfloat16 keys and values become float32. The caches get fixed shapes and hold the whole past. Recurrent states get
    checkpoints where their operators are known.
    """
    fix_cache_shapes(model)
    windowed = drop_cache_windows(model)
    score_every_token(model)
    cast_interface(model)
    add_checkpoints(model)
    return windowed


def require_readable(path: Path) -> None:
    """Refuse a graph that the runtime would refuse even after `adapt_interface`; no weight is copied for this.

    Raises `EdgedraftError` naming the input or output.
    """
    model = load_graph(path)
    adapt_interface(model)
    inputs, outputs = ([_declared(value) for value in values] for values in (model.graph.inputs, model.graph.outputs))
    read_signature(path, inputs, outputs)


def cast_interface(model: ir.Model) -> None:
    """Insert a Cast, in place, after every input and before every output whose type the runtime does not use."""
    caches = past_and_present(model)
    kept = {id(value) for pair in caches for value in pair if value.dtype in _CACHES}
    for value in list(model.graph.inputs):
        wanted = _fed_as(str(value.name))
        if wanted is not None and id(value) not in kept and value.dtype not in (wanted, None):
            _cast_input(model.graph, value, wanted)
    logits = output_named(model, LOGITS)
    for value in [logits, *(present for _, present in caches)]:
        if id(value) not in kept and value.dtype not in (ir.DataType.FLOAT, None):
            _cast_output(model.graph, value)


def _fed_as(name: str) -> ir.DataType | None:
    """Return the type that the runtime feeds to an input; None for an unknown input."""
    if name in FEEDS:
        return ir.DataType.INT64
    return None if cache_slot(name) is None else ir.DataType.FLOAT


def _cast_input(graph: ir.Graph, old: ir.Value, wanted: ir.DataType) -> None:
    new = ir.val(str(old.name), wanted, old.shape)
    assert old.dtype is not None
    cast = ir.node("Cast", [new], {"to": int(old.dtype)}, name=f"{old.name}/cast")
    old.name = cast.outputs[0].name = f"{old.name}.cast"
    cast.outputs[0].dtype, cast.outputs[0].shape = old.dtype, old.shape
    ir.convenience.replace_all_uses_with(old, cast.outputs[0])
    graph.insert_before(graph[0], cast)
    graph.inputs[graph.inputs.index(old)] = new


def _cast_output(graph: ir.Graph, old: ir.Value) -> None:
    name = str(old.name)
    cast = ir.node("Cast", [old], {"to": int(ir.DataType.FLOAT)}, name=f"{name}/cast")
    place = next(place for place, value in enumerate(graph.outputs) if value is old)
    old.name, new = f"{name}.cast", cast.outputs[0]
    new.name, new.dtype, new.shape = name, ir.DataType.FLOAT, old.shape
    graph.append(cast)
    graph.outputs[place] = new


# --- heads that score the last token alone ---------------------------------------------------------------------------


def score_every_token(model: ir.Model) -> bool:
    """Remove, in place, the node that selects the last token before the head; return whether there was one.

    onnxruntime-genai's builder adds it with ``prune_lm_head``. Verifying a draft needs the logits of every token.
    """
    tail = _tail_of(model)
    states = tail.product.inputs[0] if tail is not None else None
    if tail is None or states is None:
        return False
    whole = _before_cut(states)
    if whole is None:
        return False
    tail.product.replace_input_with(0, whole)
    cut = states.producer()
    gathered = cut.inputs[0] if cut is not None else None
    drop_maker(model.graph, states)
    if gathered is not None and gathered is not whole:
        drop_maker(model.graph, gathered)
    for value in [node.outputs[0] for node in tail.nodes]:
        value.shape = None if value.shape is None else _with_every_token(model, value.shape)
    return True


def _tail_of(model: ir.Model) -> Tail | None:
    """Return the head; None if its kind is unknown, which is allowed for a target."""
    try:
        return find_tail(model)
    except EdgedraftError:
        return None


def _with_every_token(model: ir.Model, shape: ir.Shape) -> ir.Shape:
    ids = next((value for value in model.graph.inputs if value.name == IDS), None)
    tokens = ids.shape[_SEQUENCE_AXIS] if ids is not None and ids.shape is not None else "sequence_length"
    return ir.Shape([*shape.dims[:-2], tokens, shape.dims[-1]])


def _before_cut(states: ir.Value) -> ir.Value | None:
    """Return the value whose last token makes ``states``; None if no token is selected."""
    maker = states.producer()
    if maker is None:
        return None
    if maker.op_type == "Unsqueeze" and _numbers(maker, 1, "axes") == [_SEQUENCE_AXIS]:
        inner = maker.inputs[0]
        gather = inner.producer() if inner is not None else None
        return gather.inputs[0] if gather is not None and _gathers_last(gather, keeps_axis=False) else None
    if _gathers_last(maker, keeps_axis=True) or _slices_last(maker):
        return maker.inputs[0]
    return None


def _gathers_last(node: ir.Node, *, keeps_axis: bool) -> bool:
    """Check for a Gather of the last token; its index is a list with ``keeps_axis``, else a single number."""
    index = constant_of(input_at(node, 1)) if node.op_type == "Gather" else None
    axis = node.attributes.get("axis")
    if index is None or axis is None or axis.as_int() != _SEQUENCE_AXIS:
        return False
    return len(index.shape) == int(keeps_axis) and index.numpy().reshape(-1).tolist() == [-1]


def _slices_last(node: ir.Node) -> bool:
    if node.op_type != "Slice":
        return False
    starts, ends, axes = (_numbers(node, at, name) for at, name in ((1, "starts"), (2, "ends"), (3, "axes")))
    return starts == [-1] and axes == [_SEQUENCE_AXIS] and len(ends) == 1 and ends[0] >= np.iinfo(np.int32).max


def _numbers(node: ir.Node, position: int, attribute: str) -> list[int]:
    """Return the integers of a constant input, or of the attribute that older opsets use instead."""
    stated = node.attributes.get(attribute)
    if stated is not None:
        return list(stated.as_ints())
    tensor = constant_of(input_at(node, position))
    return [] if tensor is None else [int(number) for number in tensor.numpy().reshape(-1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Declared:
    """An input or output as ONNX Runtime will report it."""

    name: str
    shape: list[int | str | None]
    type: str


def _declared(value: ir.Value) -> _Declared:
    axes = [] if value.shape is None else list(value.shape.dims)
    shape = [axis if isinstance(axis, int) else axis.value for axis in axes]
    kind = "unknown" if value.dtype is None else value.dtype.name.lower()
    return _Declared(name=str(value.name), shape=shape, type=f"tensor({kind})")
