"""Find the operators that read a graph's inputs, in the ONNX file itself: onnxruntime reveals only names and shapes.

An ONNX file is a protobuf message: a row of fields, each a number, a wire type and a value. Only nodes are read;
weights are skipped by their length, so that large files take milliseconds, without the onnx package.
"""

import mmap
from collections.abc import Collection, Iterator
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError

# Field numbers from onnx.proto: ModelProto.graph, GraphProto.node, NodeProto.input and NodeProto.op_type.
_MODEL_GRAPH, _GRAPH_NODE, _NODE_INPUT, _NODE_OPERATOR = 7, 1, 1, 4
# Protobuf's wire types: they say how long a value is.
_VARINT, _EIGHT_BYTES, _LENGTH_DELIMITED, _FOUR_BYTES = 0, 1, 2, 5


def input_readers(path: Path, names: Collection[str]) -> dict[str, set[str]]:
    """Return the operators that read each of ``names``, among the nodes of the outermost graph.

    Raises `EdgedraftError` when the file is not an ONNX model.
    """
    readers: dict[str, set[str]] = {name: set() for name in names}
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for operator, inputs in _nodes(data):
                for name in readers.keys() & inputs:
                    readers[name].add(operator)
    except (IndexError, ValueError) as error:
        raise EdgedraftError(f"{path}: not an ONNX model that can be read") from error
    return readers


def _nodes(data: mmap.mmap) -> Iterator[tuple[str, set[str]]]:
    """Yield the operator and the input names of each node."""
    for graph in _messages(data, (0, len(data)), _MODEL_GRAPH):
        for node in _messages(data, graph, _GRAPH_NODE):
            texts: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OPERATOR: [""]}
            for number, (start, end) in _fields(data, node):
                if number in texts:
                    texts[number].append(data[start:end].decode())
            yield texts[_NODE_OPERATOR][-1], set(texts[_NODE_INPUT])


def _messages(data: mmap.mmap, span: tuple[int, int], field_number: int) -> Iterator[tuple[int, int]]:
    return (inner for number, inner in _fields(data, span) if number == field_number)


def _fields(data: mmap.mmap, span: tuple[int, int]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the number and the byte range of each text or message in ``span``, and skip plain numbers."""
    place, end = span
    while place < end:
        key, place = _varint(data, place)
        wire_type = key & 7  # a key is the field's number, and its wire type in the lowest three bits
        if wire_type == _VARINT:
            _, place = _varint(data, place)
        elif wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
            place += 8 if wire_type == _EIGHT_BYTES else 4
        elif wire_type == _LENGTH_DELIMITED:
            length, place = _varint(data, place)
            if place + length > end:
                raise ValueError("a field ends behind its message")
            yield key >> 3, (place, place + length)
            place += length
        else:
            raise ValueError(f"unknown wire type {wire_type}")


def _varint(data: mmap.mmap, place: int) -> tuple[int, int]:
    """Read a number of variable length at ``place``; return it and where it ends.

    Each byte carries seven bits, the lowest first; its top bit says that another byte follows.
    """
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
