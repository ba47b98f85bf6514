"""Find, check and join the parts of a model that llama-gguf-split split into several GGUF files."""

import re
import struct
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from edgedraft.exporter.models.gguf_header import MAGIC, GgufHeader, GgufTensor, read_gguf_header
from edgedraft.runtime.base.records import require

_PART = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})")
_COUNT, _TENSORS, _TYPE = "split.count", "split.tensors.count", "general.type"
_VERSION = 3
# Weights in a block and bytes of a block, by the number of the type in ggml.h; other types are not checked.
_BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    30: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    9: (32, 40),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    20: (32, 18),
    21: (256, 110),
    22: (256, 82),
    23: (256, 136),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    29: (256, 56),
    39: (32, 17),
}
_ALL_PARTS = "put all parts into one folder, under the names that they were published with"


def gguf_parts(path: Path) -> tuple[Path, ...]:
    """Return all files of the model that ``path`` is a part of, in order; only ``path`` if it is not split.

    Raises `EdgedraftError` if a part is missing.
    """
    match = _PART.fullmatch(path.stem)
    if match is None:
        return (path,)
    count = int(match["count"])
    parts = tuple(
        path.with_name(f"{match['name']}-{number:05d}-of-{count:05d}{path.suffix}") for number in range(1, count + 1)
    )
    missing = [part.name for part in parts if not part.is_file()]
    rule = f"{path}: one part of a model in {count} files"
    require(not missing, rule, got=f"no {', '.join(missing)}" if missing else None, remedy=_ALL_PARTS)
    return parts


def model_name(path: Path) -> str:
    """Return the file's name in lower case, without its suffix and the number of a part."""
    match = _PART.fullmatch(path.stem)
    return (match["name"] if match else path.stem).lower()


def require_whole_gguf(parts: tuple[Path, ...]) -> None:
    """Refuse GGUF files that are not a whole model: an adapter, missing parts, a truncated file."""
    headers = [read_gguf_header(part) for part in parts]
    first = headers[0].metadata
    kind = str(first.get(_TYPE, "model"))
    require(kind == "model", f"{parts[0]}: expected a whole model", got=kind, remedy="give the model's own file")
    stated, tensors = int(first.get(_COUNT, 1) or 1), sum(len(header.tensors) for header in headers)
    require(len(parts) == stated, f"{parts[0]}: one part of a model in {stated} files", got=1, remedy=_ALL_PARTS)
    require(tensors > 0, f"{parts[0]}: holds a tokenizer but no weights", remedy="give the model's own file")
    expected = int(first.get(_TENSORS, tensors) or tensors)
    rule = f"{parts[0]}: its {len(parts)} files must hold {expected} tensors"
    require(tensors == expected, rule, got=tensors, remedy="download the parts again")
    for part, header in zip(parts, headers, strict=True):
        _require_whole_file(part, header)


def join_gguf(parts: tuple[Path, ...], output: Path) -> None:
    """Write the model in ``parts`` to one file, with the metadata of the first part."""
    headers = [read_gguf_header(part) for part in parts]
    first = headers[0]
    sizes = [_sizes(part, header) for part, header in zip(parts, headers, strict=True)]
    with output.open("wb") as file, parts[0].open("rb") as metadata:
        tensors = sum(len(header.tensors) for header in headers)
        file.write(MAGIC + struct.pack("<IQQ", _VERSION, tensors, len(first.metadata)))
        start, end = first.metadata_bytes
        metadata.seek(start)
        file.write(metadata.read(end - start))
        offset = 0
        for header, sized in zip(headers, sizes, strict=True):
            for tensor, size in zip(header.tensors, sized, strict=True):
                file.write(_entry(tensor, offset))
                offset += _aligned(size, first.alignment)
        _pad(file, first.alignment)
        for part, header, sized in zip(parts, headers, sizes, strict=True):
            _copy_tensors(part, header, sized, file, first.alignment)


def _copy_tensors(part: Path, header: GgufHeader, sizes: list[int], file: BinaryIO, alignment: int) -> None:
    with part.open("rb") as source:
        for tensor, size in zip(header.tensors, sizes, strict=True):
            source.seek(header.data_start + tensor.offset)
            _copy(source, file, size)
            _pad(file, alignment)


def _require_whole_file(part: Path, header: GgufHeader) -> None:
    ends = [tensor.offset + (_tensor_bytes(tensor) or 0) for tensor in header.tensors]
    needed, size = header.data_start + max(ends, default=0), part.stat().st_size
    require(size >= needed, f"{part}: expected at least {needed:,} bytes", got=f"{size:,}", remedy="download it again")


def _sizes(part: Path, header: GgufHeader) -> list[int]:
    """Return the bytes from the start of each tensor to the start of the next."""
    starts = sorted(tensor.offset for tensor in header.tensors)
    following = dict(pairwise([*starts, part.stat().st_size - header.data_start]))
    return [following[tensor.offset] - tensor.offset for tensor in header.tensors]


def _tensor_bytes(tensor: GgufTensor) -> int | None:
    weights, (block, size) = 1, _BLOCKS.get(tensor.kind, (0, 0))
    for dimension in tensor.shape:
        weights *= dimension
    return weights // block * size if block else None


def _entry(tensor: GgufTensor, offset: int) -> bytes:
    name = tensor.name.encode("utf-8", errors="surrogateescape")
    shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
    return struct.pack("<Q", len(name)) + name + shape + struct.pack("<IQ", tensor.kind, offset)


def _copy(source: BinaryIO, file: BinaryIO, count: int, piece: int = 1 << 24) -> None:
    while count > 0:
        data = source.read(min(piece, count))
        if not data:
            return
        file.write(data)
        count -= len(data)


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _pad(file: BinaryIO, alignment: int) -> None:
    file.write(b"\0" * (_aligned(file.tell(), alignment) - file.tell()))
