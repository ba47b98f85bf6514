"""Read nodes from an ONNX file itself: onnxruntime reveals only the names and shapes of inputs and outputs.

An ONNX file is a protobuf message: a row of fields, each a number, a wire type and a value. Only nodes are read;
weights are skipped by their length, so that large files take milliseconds, without the onnx package.
"""

import mmap
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.plain_files import mapped_plain

# Field numbers from onnx.proto: ModelProto.graph, GraphProto.node, NodeProto.input and NodeProto.op_type.
_MODEL_GRAPH, _GRAPH_NODE, _NODE_INPUT, _NODE_OPERATOR = 7, 1, 1, 4
Span = tuple[int, int]
"""Where a message or a text begins in its file, and where it ends."""

# Protobuf's wire types: they say how long a value is.
_VARINT, _EIGHT_BYTES, _LENGTH_DELIMITED, _FOUR_BYTES = 0, 1, 2, 5


def input_readers(path: Path, names: Collection[str]) -> dict[str, set[str]]:
    """Return the operators that read each of ``names``, among the nodes of the outermost graph.

    Raises `EdgedraftError` when the file is not an ONNX model.
    """
    readers: dict[str, set[str]] = {name: set() for name in names}
    with opened_graph_file(path) as data:
        for operator, inputs in _nodes(data):
            for name in readers.keys() & inputs:
                readers[name].add(operator)
    return readers


@contextmanager
def opened_graph_file(path: Path) -> Iterator[mmap.mmap]:
    """Map the file into memory. Raises `EdgedraftError` when it is not an ONNX model, also for reads in the block."""
    try:
        with mapped_plain(path) as data:
            yield data
    except EdgedraftError:
        raise
    except (IndexError, ValueError, RecursionError) as error:
        raise EdgedraftError(f"{path}: not an ONNX model that can be read") from error


def _nodes(data: mmap.mmap) -> Iterator[tuple[str, set[str]]]:
    """Yield the operator and the input names of each node."""
    for graph in messages(data, (0, len(data)), _MODEL_GRAPH):
        for node in messages(data, graph, _GRAPH_NODE):
            operators = texts(data, node, _NODE_OPERATOR)
            yield operators[-1] if operators else "", set(texts(data, node, _NODE_INPUT))


def messages(data: mmap.mmap, span: Span, field_number: int) -> Iterator[Span]:
    """Yield the byte range of each text or message with that field number in ``span``."""
    return (value for number, value in fields(data, span) if number == field_number and isinstance(value, tuple))


def texts(data: mmap.mmap, span: Span, field_number: int) -> list[str]:
    """Return all texts with that field number in ``span``."""
    return [data[start:end].decode() for start, end in messages(data, span, field_number)]


def last_number(data: mmap.mmap, span: Span, field_number: int) -> int:
    """Return the last integer with that field number in ``span``, negative where its sign bit is set; 0 if none."""
    values = [value for number, value in fields(data, span) if number == field_number and isinstance(value, int)]
    return (values[-1] ^ 1 << 63) - (1 << 63) if values else 0


def last_float(data: mmap.mmap, span: Span, field_number: int) -> float:
    """Return the last 32-bit float with that field number in ``span``; 0 if none."""
    values = [value for number, value in fields(data, span) if number == field_number and isinstance(value, float)]
    return values[-1] if values else 0.0


def fields(data: mmap.mmap, span: Span) -> Iterator[tuple[int, int | float | Span]]:
    """Yield each field's number, with its number, or with the byte range of a text or message; skip 64-bit floats."""
    place, end = span
    while place < end:
        key, place = _varint(data, place)
        wire_type = key & 7  # a key is the field's number, and its wire type in the lowest three bits
        if wire_type == _VARINT:
            integer, place = _varint(data, place)
            yield key >> 3, integer
        elif wire_type == _EIGHT_BYTES:
            place += 8
        elif wire_type == _FOUR_BYTES:
            if place + 4 > end:
                raise ValueError("a field ends behind its message")
            yield key >> 3, struct.unpack("<f", data[place : place + 4])[0]
            place += 4
        elif wire_type == _LENGTH_DELIMITED:
            length, place = _varint(data, place)
            if place + length > end:
                raise ValueError("a field ends behind its message")
            yield key >> 3, (place, place + length)
            place += length
        else:
            raise ValueError(f"unknown wire type {wire_type}")


def _varint(data: mmap.mmap, place: int) -> Span:
    """Read a number of variable length at ``place``; return it and where it ends.

    Each byte carries seven bits, the lowest first; its top bit says that another byte follows.
    """
    value = shift = 0
    while shift < 70:  # ten bytes: a longer number is none, and would take memory without a bound
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError("a number of more than 64 bits")
