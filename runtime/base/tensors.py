"""The part of the safetensors format that edgedraft writes, read and written with numpy alone.

The runtime may not depend on more than numpy, so the format (8-byte header length, JSON header, raw little-endian
data; https://huggingface.co/docs/safetensors) is spelled out here for whole-array use.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.runtime.base.arrays import AnyArray
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import replacing_file

_DTYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}


def write_tensors(path: Path, tensors: Mapping[str, AnyArray], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays and string metadata to ``path``, atomically."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, array in tensors.items():
        end = offset + array.nbytes
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array).tobytes())


def read_tensors(path: Path) -> tuple[dict[str, AnyArray], dict[str, str]]:
    """All arrays in ``path`` and its metadata; a file that is not whole raises `EdgedraftError`."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise EdgedraftError(f"{path}: no such file") from error
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        metadata = header.pop("__metadata__", {})
        body = memoryview(data)[8 + size :]
        tensors = {name: _array(body, entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EdgedraftError(f"{path}: not a safetensors file edgedraft can read", got=str(error)) from error
    return tensors, metadata


def _array(body: memoryview, entry: Mapping[str, Any]) -> AnyArray:
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= len(body):
        raise ValueError(f"offsets {start}..{end} lie outside the file's {len(body)} bytes")
    return np.frombuffer(body[start:end], dtype=_DTYPES[entry["dtype"]]).reshape(entry["shape"]).copy()
