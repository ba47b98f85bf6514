"""Which operators read a graph's inputs, from the ONNX file itself: onnxruntime tells names and shapes only.

An ONNX file is a protobuf message: fields, each a number, a kind and a value. Only the nodes are looked at; weights
are skipped by their length.
"""

import mmap
from collections.abc import Collection, Iterator
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError

_MODEL_GRAPH, _GRAPH_NODE, _NODE_INPUT, _NODE_OPERATOR = 7, 1, 1, 4
_VARINT, _EIGHT_BYTES, _MESSAGE, _FOUR_BYTES = 0, 1, 2, 5

Span = tuple[int, int]
"""Where a message begins and ends in the file."""


def input_readers(path: Path, names: Collection[str]) -> dict[str, set[str]]:
    """The operators among the graph's own nodes that read each of ``names``."""
    found: dict[str, set[str]] = {name: set() for name in names}
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for operator, inputs in _nodes(data):
                for name in found.keys() & inputs:
                    found[name].add(operator)
    except (IndexError, ValueError) as error:
        raise EdgedraftError(f"{path}: not an ONNX model that can be read") from error
    return found


def _nodes(data: mmap.mmap) -> Iterator[tuple[str, set[str]]]:
    """Operator and input names of each node."""
    for graph in _messages(data, (0, len(data)), _MODEL_GRAPH):
        for node in _messages(data, graph, _GRAPH_NODE):
            texts: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OPERATOR: [""]}
            for number, (start, end) in _fields(data, node):
                if number in texts:
                    texts[number].append(data[start:end].decode())
            yield texts[_NODE_OPERATOR][-1], set(texts[_NODE_INPUT])


def _messages(data: mmap.mmap, span: Span, wanted: int) -> Iterator[Span]:
    return (inner for number, inner in _fields(data, span) if number == wanted)


def _fields(data: mmap.mmap, span: Span) -> Iterator[tuple[int, Span]]:
    """Numbers and places of the fields in ``span`` that have a length of their own; the others are skipped."""
    place, end = span
    while place < end:
        key, place = _varint(data, place)
        kind = key & 7
        if kind == _VARINT:
            _, place = _varint(data, place)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            place += 8 if kind == _EIGHT_BYTES else 4
        elif kind == _MESSAGE:
            length, place = _varint(data, place)
            if place + length > end:
                raise ValueError("a field ends behind its message")
            yield key >> 3, (place, place + length)
            place += length
        else:
            raise ValueError(f"unknown kind of field {kind}")


def _varint(data: mmap.mmap, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
