"""Token maps inside other engines' model files: the tensor d2t of GGUF, OpenVINO and MNN, without their engines."""

import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.exporter.vocab.deciding import Numbers, whole_numbers
from edgedraft.exporter.vocab.kinds import GGUF, MNN, OPENVINO
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.base.plain_files import read_plain
from edgedraft.runtime.base.records import require

D2T = "d2t"
_FLATBUFFER_BYTES, _MOST_XML_BYTES = 2**31, 2**28

_OPENVINO_TYPES = {"i64": "<i8", "i32": "<i4"}
# Places in MNN's schema (MNN.fbs, Tensor.fbs): Net.oplists; Op.main's type and value, Op.name; Blob.int32s.
_OPS, _MAIN_TYPE, _MAIN, _NAME, _INT32S, _BLOB = 3, 1, 2, 3, 5, 7


def read_gguf(path: Path) -> Numbers:
    """Read the tensor ``d2t``, and how many tokens the file's tokenizer knows."""
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise MissingExtraError("gguf", "export") from error
    try:
        reader = GGUFReader(path)
    except Exception as error:  # the reader trusts its input and fails in many ways
        raise EdgedraftError(f"{path}: not a whole GGUF file", got=first_line(error)) from error
    maps = [tensor for tensor in reader.tensors if _names_map(tensor.name)]
    _require_one(path, len(maps), "tensor")
    tokens = reader.fields.get("tokenizer.ggml.tokens")
    size = len(tokens.data) if tokens is not None else 0
    return Numbers(kinds=(GGUF,), values=whole_numbers(maps[0].data, f"{path}: {D2T}"), vocab_size=size or None)


def read_openvino(path: Path) -> Numbers:
    """Read the constant with ``d2t`` in its name from an IR: its values lie in the .bin file beside the .xml."""
    try:
        layers = ElementTree.fromstring(read_plain(path, _MOST_XML_BYTES)).iter("layer")
        maps = [each for each in layers if each.get("type") == "Const" and D2T in each.get("name", "")]
    except ElementTree.ParseError as error:
        raise EdgedraftError(f"{path}: not an OpenVINO IR", got=first_line(error)) from error
    _require_one(path, len(maps), "constant")
    described = maps[0].find("data")
    facts = {} if described is None else described.attrib
    code = _OPENVINO_TYPES.get(facts.get("element_type", ""))
    require(code is not None, f"{path}: {D2T}: expected i64 or i32", got=facts.get("element_type"))
    weights = path.with_suffix(".bin")
    data = _piece(weights, facts.get("offset", ""), facts.get("size", ""))
    width = np.dtype(code).itemsize
    require(len(data) % width == 0, f"{path}: {D2T}: expected whole numbers of {width} bytes", got=f"{len(data)} bytes")
    values = np.frombuffer(data, dtype=code)
    return Numbers(kinds=(OPENVINO,), values=whole_numbers(values, f"{weights}: {D2T}"))


def read_mnn(path: Path) -> Numbers:
    """Read the int32 constant ``d2t`` of an MNN graph (a flatbuffer)."""
    try:
        maps = [values for name, values in _mnn_constants(read_plain(path, _FLATBUFFER_BYTES)) if _names_map(name)]
    except (struct.error, ValueError, TypeError, IndexError, UnicodeDecodeError) as error:
        raise EdgedraftError(f"{path}: not a whole MNN file", got=first_line(error)) from error
    _require_one(path, len(maps), "constant")
    return Numbers(kinds=(MNN,), values=whole_numbers(maps[0], f"{path}: {D2T}"))


def _names_map(name: str) -> bool:
    """Check whether a tensor is the map, whatever module of the model holds it."""
    return name.split(".")[-1] == D2T


def _require_one(path: Path, count: int, what: str) -> None:
    rule = f"{path}: expected one {what} named {D2T}"
    remedy = "a model without it keeps its whole vocabulary, or its map lies in another file" if not count else None
    require(count == 1, rule, got=count or "none", remedy=remedy)


def _piece(path: Path, offset: str, size: str) -> bytes:
    """Read exactly ``size`` bytes at ``offset``."""
    require(path.is_file(), f"{path}: no such file", remedy="an IR is two files: keep the .bin beside the .xml")
    held = path.stat().st_size
    whole = offset.isdecimal() and size.isdecimal() and int(offset) + int(size) <= held
    require(whole, f"{path}: {D2T}: expected bytes within the file's {held}", got=f"{size} at {offset}")
    with path.open("rb") as file:
        file.seek(int(offset))
        return file.read(int(size))


def _mnn_constants(data: bytes) -> Iterator[tuple[str, Any]]:
    """Yield names and values of the int32 constants in an MNN graph."""
    try:
        from flatbuffers import encode, number_types, packer
        from flatbuffers.table import Table
    except ImportError as error:
        raise MissingExtraError("flatbuffers", "export") from error

    def place(table: Any, field: int) -> int:
        """Return the position of a table's field; 0 if the table lacks it."""
        # A flatbuffer's table of offsets: two sizes of 2 bytes each, then 2 bytes for every field.
        relative = table.Offset(4 + 2 * field)
        return table.Pos + relative if relative else 0

    net = Table(data, encode.Get(packer.uoffset, data, 0))
    ops = net.Offset(4 + 2 * _OPS)
    for index in range(net.VectorLen(ops) if ops else 0):
        op = Table(data, net.Indirect(net.Vector(ops) + 4 * index))
        kind, main, name = (place(op, field) for field in (_MAIN_TYPE, _MAIN, _NAME))
        if not (kind and main and name) or op.Get(number_types.Uint8Flags, kind) != _BLOB:
            continue
        blob = Table(data, op.Indirect(main))
        values = blob.Offset(4 + 2 * _INT32S)
        if values:
            yield op.String(name).decode(), blob.GetVectorAsNumpy(number_types.Int32Flags, values)
