"""Find a graph's attention (GroupQueryAttention), and decide if our kernels may compute it.

Ours replaces onnxruntime's for a whole session, so one node that it cannot compute keeps it away.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

from edgedraft.runtime.base.graph_file import last_float, last_number, messages, opened_graph_file, texts

# Field numbers from onnx.proto.
_MODEL_GRAPH, _MODEL_FUNCTION, _FUNCTION_NODE, _GRAPH_NODE, _GRAPH_INPUT = 7, 25, 7, 1, 11
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_ELEMENT, _FLOAT32 = 1, 2, 1, 1, 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_NAME, _FLOAT, _INTEGER, _TEXT, _GRAPH, _GRAPHS = 1, 2, 3, 4, 6, 11

_OPERATOR = "GroupQueryAttention"
_PAST_KEY, _INPUTS, _OUTPUTS = 3, 10, 3
_COMPUTED = {"num_heads", "kv_num_heads", "scale", "do_rotary", "rotary_interleaved"}
_WITHOUT = {"local_window_size": -1, "softcap": 0, "smooth_softmax": 0, "qk_output": 0, "kv_cache_bit_width": 0}
"""Attributes that ours does not compute, and their values where they ask for nothing."""
_NOT_QUANTIZED = {"k_quant_type", "v_quant_type"}

_Span = tuple[int, int]


def why_stock_attention(path: Path) -> str | None:
    """Return why a session on this graph keeps onnxruntime's attention; None where ours may take its place.

    Raises `EdgedraftError` if it is no ONNX model.
    """
    with opened_graph_file(path) as data:
        model = (0, len(data))
        graphs = list(messages(data, model, _MODEL_GRAPH))
        nodes = [node for graph in graphs for node in _nodes(data, messages(data, graph, _GRAPH_NODE))]
        for function in messages(data, model, _MODEL_FUNCTION):
            nodes += _nodes(data, messages(data, function, _FUNCTION_NODE))
        floats = {name for graph in graphs for name in _float_inputs(data, graph)}
        reasons = [_refusal(data, node, floats) for node in nodes]
    return next(filter(None, reasons), None) if reasons else "no attention over grouped queries"


def _nodes(data: mmap.mmap, nodes: Iterator[_Span]) -> Iterator[_Span]:
    """Yield every attention among ``nodes``, also in branches and loops."""
    for node in nodes:
        if texts(data, node, _NODE_OPERATOR)[-1:] == [_OPERATOR]:
            yield node
        for attribute in messages(data, node, _NODE_ATTRIBUTE):
            for number in (_GRAPH, _GRAPHS):
                for graph in messages(data, attribute, number):
                    yield from _nodes(data, messages(data, graph, _GRAPH_NODE))


def _float_inputs(data: mmap.mmap, graph: _Span) -> Iterator[str]:
    for value in messages(data, graph, _GRAPH_INPUT):
        tensors = [t for kind in messages(data, value, _VALUE_TYPE) for t in messages(data, kind, _TYPE_TENSOR)]
        if [last_number(data, tensor, _TENSOR_ELEMENT) for tensor in tensors] == [_FLOAT32]:
            yield from texts(data, value, _VALUE_NAME)


def _refusal(data: mmap.mmap, node: _Span, floats: set[str]) -> str | None:
    inputs, outputs = texts(data, node, _NODE_INPUT), texts(data, node, _NODE_OUTPUT)
    if inputs[_PAST_KEY : _PAST_KEY + 1] == [] or inputs[_PAST_KEY] not in floats:
        return "keys and values are not float32 inputs of the graph"
    if any(inputs[_INPUTS:]) or any(outputs[_OUTPUTS:]) or not all(outputs[:_OUTPUTS]):
        return "attention has a bias, sinks, scales or other outputs"
    for attribute in messages(data, node, _NODE_ATTRIBUTE):
        (name,) = texts(data, attribute, _NAME)[-1:]
        value = last_number(data, attribute, _INTEGER) or last_float(data, attribute, _FLOAT)
        plain = (
            texts(data, attribute, _TEXT) in ([], ["NONE"]) if name in _NOT_QUANTIZED else _WITHOUT.get(name) == value
        )
        if name not in _COMPUTED and not plain:
            return f"attention with {name}"
    return None
