"""Read the header of a GGUF file: its metadata and its list of tensors, without the weights.

Source: the GGUF specification, versions 2 and 3 (ggml, docs/gguf.md).
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.plain_files import mapped_plain
from edgedraft.runtime.base.records import require

MAGIC = b"GGUF"

_ARCHITECTURE, _ALIGNMENT = "general.architecture", "general.alignment"
_STRING, _ARRAY = 8, 9
_NUMBERS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "<u1",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_VERSIONS = (2, 3)


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufTensor:
    """One tensor: name, dimensions (innermost first), number of its type, offset of its data."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GgufHeader:
    """``metadata``: the file's keys and values, arrays as lists. ``metadata_bytes``: their place in the file.

    ``data_start``: the byte from which the offsets of tensors count. ``alignment``: in bytes.
    """

    metadata: Mapping[str, Any]
    metadata_bytes: tuple[int, int]
    tensors: tuple[GgufTensor, ...]
    data_start: int
    alignment: int


def read_gguf_header(path: Path) -> GgufHeader:
    """Read the header of a GGUF file of version 2 or 3.

    Raises `EdgedraftError` for another kind of file, and for a file that ends within its header.
    """
    remedy = "download it again"
    try:
        with mapped_plain(path) as data:
            require(data[:4] == MAGIC, f"{path}: not a GGUF file", got=repr(data[:4]))
            return _header(_Reader(data, 4))
    except (ValueError, KeyError, OverflowError, struct.error, RecursionError) as error:
        if isinstance(error, EdgedraftError):
            raise
        raise EdgedraftError(f"{path}: not a GGUF file that can be read", got=str(error), remedy=remedy) from error


def gguf_architecture(path: Path) -> str:
    """Return the architecture of a GGUF file, such as ``llama``.

    Raises `EdgedraftError` if the header cannot be read or names none.
    """
    name = read_gguf_header(path).metadata.get(_ARCHITECTURE)
    remedy = "give a file of a whole model"
    require(isinstance(name, str), f"{path}: the GGUF file states no {_ARCHITECTURE}", remedy=remedy)
    return str(name)


class _Reader:
    """Reads values in sequence from the bytes of a file."""

    def __init__(self, data: mmap.mmap, place: int) -> None:
        self.data = data
        self.place = place

    def number(self, kind: str) -> Any:
        return self.numbers(kind, 1)[0]

    def numbers(self, kind: str, count: int) -> list[Any]:
        return list(np.frombuffer(self._bytes(np.dtype(kind).itemsize * count), dtype=kind).tolist())

    def text(self) -> str:
        # struct rather than `number`: a vocabulary has hundreds of thousands of texts.
        (length,) = struct.unpack("<Q", self._bytes(8))
        return self._bytes(length).decode("utf-8", errors="surrogateescape")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            number = self.number(_NUMBERS[kind])
            return bool(number) if kind == 7 else number
        inner, count = self.number("<u4"), self.number("<u8")
        if inner in _NUMBERS:
            return self.numbers(_NUMBERS[inner], count)
        return [self.value(inner) for _ in range(count)]

    def _bytes(self, count: int) -> bytes:
        piece = self.data[self.place : self.place + count]
        if len(piece) != count:
            raise ValueError("the file ends within its header")
        self.place += count
        return piece


def _header(reader: _Reader) -> GgufHeader:
    version = reader.number("<u4")
    if version not in _VERSIONS:
        raise ValueError(f"version {version}")
    tensors, values = reader.numbers("<u8", 2)
    start = reader.place
    metadata = {reader.text(): reader.value(reader.number("<u4")) for _ in range(values)}
    end = reader.place
    entries = tuple(_tensor(reader) for _ in range(tensors))
    alignment = int(metadata.get(_ALIGNMENT, 32))
    return GgufHeader(
        metadata=metadata,
        metadata_bytes=(start, end),
        tensors=entries,
        data_start=-(-reader.place // alignment) * alignment,
        alignment=alignment,
    )


def _tensor(reader: _Reader) -> GgufTensor:
    name, dimensions = reader.text(), reader.number("<u4")
    shape = tuple(reader.numbers("<u8", dimensions))
    return GgufTensor(name=name, shape=shape, kind=reader.number("<u4"), offset=reader.number("<u8"))
