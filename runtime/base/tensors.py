"""Reading and writing safetensors files through the safetensors package."""

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from edgedraft.runtime.base.arrays import AnyArray
from edgedraft.runtime.base.errors import EdgedraftError, first_line
from edgedraft.runtime.base.plain_files import require_plain_file
from edgedraft.runtime.base.replacing import replacing_file

_LENGTH_BYTES = 8
_BFLOAT16 = "BF16"
_MAPPED = {"U8": "<u1", "F16": "<f2", "F32": "<f4"}
_SUM = "sha256"


def write_tensors(
    path: Path, tensors: Mapping[str, AnyArray], metadata: Mapping[str, str] | None = None, *, summed: bool = False
) -> None:
    """Write arrays and text metadata to ``path``, atomically.

    Equal arrays and metadata, in the same order, give equal bytes. With ``summed``, the metadata gets the SHA-256 of
    all the rest, and `read_tensors` compares it. Raises `EdgedraftError` for a dtype that the format does not support.
    """
    # The package copies an array's memory as it lies, so rows must follow each other there.
    whole = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in tensors.items()}
    try:
        content = save(whole)
    except (SafetensorError, TypeError, ValueError) as error:
        raise EdgedraftError(f"{path}: arrays that safetensors cannot hold", got=first_line(error)) from error
    facts = dict(metadata or {})
    if summed:
        facts[_SUM] = _sum(_header(content), facts, content)
    with replacing_file(path) as temporary:
        temporary.write_bytes(_with_metadata(content, facts))


def read_tensors(path: Path, names: Collection[str] | None = None) -> tuple[dict[str, AnyArray], dict[str, str]]:
    """Return the arrays in ``path`` and its metadata.

    With ``names``, read only these arrays from a large file. Raises `EdgedraftError` for an incomplete file.
    """
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in (file.keys() if names is None else names)}
        # numpy knows bfloat16 only where another package has registered it: refused, so that no import decides.
        foreign = [f"{name} is {array.dtype}" for name, array in tensors.items() if array.dtype.isbuiltin != 1]
        if foreign:
            raise TypeError(", ".join(foreign))
        metadata = file.metadata() or {}
    if _SUM in metadata:
        _check_sum(path, metadata)
        del metadata[_SUM]
    return tensors, metadata


def read_weights(path: Path, names: Collection[str] | None = None) -> dict[str, AnyArray]:
    """Return the arrays in ``path``: floats of 16 bits or more as float32, also bfloat16, all others unchanged.

    With ``names``, read only these arrays from a large file. Raises `EdgedraftError` for an incomplete file, or for
    numbers of a type that numpy lacks.
    """
    with _opened(path) as file:
        chosen = set(file.keys() if names is None else names)
        halves = [name for name in sorted(chosen) if file.get_slice(name).get_dtype() == _BFLOAT16]
    tensors, _ = read_tensors(path, chosen - set(halves))
    whole = {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in tensors.items()}
    return whole | _read_bfloats(path, halves)


def mapped_tensors(path: Path) -> dict[str, AnyArray]:
    """Return the arrays in ``path`` as views of the file, of which only what is used is read.

    Raises `EdgedraftError` for an incomplete file, or for numbers other than bytes and floats of 16 and 32 bits.
    """
    with _opened(path) as file, path.open("rb") as plain:
        names = tuple(file.keys())
        known = {name: file.get_slice(name).get_dtype() for name in names}
        foreign = [f"{name} is {dtype}" for name, dtype in known.items() if dtype not in _MAPPED]
        if foreign:
            raise TypeError(", ".join(foreign))
        start = _LENGTH_BYTES + int.from_bytes(plain.read(_LENGTH_BYTES), "little")
        header = json.loads(plain.read(start - _LENGTH_BYTES))
        return {
            name: _mapped(path, np.dtype(_MAPPED[dtype]), start + header[name]["data_offsets"][0], header[name])
            for name, dtype in known.items()
        }


def _mapped(path: Path, dtype: np.dtype[Any], offset: int, entry: Mapping[str, Any]) -> AnyArray:
    shape = tuple(entry["shape"])
    if 0 in shape:
        return np.zeros(shape, dtype)  # nothing can be mapped of an empty array
    return np.memmap(path, dtype, mode="r", offset=offset, shape=shape)


def tensor_names(path: Path) -> tuple[str, ...]:
    """Return the names of the arrays in ``path`` without reading the arrays."""
    with _opened(path) as file:
        return tuple(file.keys())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    require_plain_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, MemoryError, OSError, TypeError, ValueError) as error:
        raise EdgedraftError(f"{path}: not a safetensors file edgedraft can read", got=first_line(error)) from error


def _read_bfloats(path: Path, names: Collection[str]) -> dict[str, AnyArray]:
    """Return bfloat16 arrays as float32; bfloat16 is the upper half, and safetensors gives them only to torch."""
    arrays: dict[str, AnyArray] = {}
    with path.open("rb") as file:
        start = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        header = json.loads(file.read(start))
        for name in names:
            first, end = header[name]["data_offsets"]
            file.seek(_LENGTH_BYTES + start + first)
            upper = np.frombuffer(file.read(end - first), dtype="<u2").astype(np.uint32)
            arrays[name] = (upper << 16).view(np.float32).reshape(header[name]["shape"])
    return arrays


def _check_sum(path: Path, metadata: Mapping[str, str]) -> None:
    content = path.read_bytes()
    facts = {name: text for name, text in metadata.items() if name != _SUM}
    if _sum(_header(content), facts, content) != metadata[_SUM]:
        raise EdgedraftError(f"{path}: damaged: its content is not what its SHA-256 says", remedy="make it again")


def _header(content: bytes) -> dict[str, Any]:
    """Return the description of the arrays, by name."""
    start = _data_start(content)
    header: dict[str, Any] = json.loads(content[_LENGTH_BYTES:start])
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def _sum(header: Mapping[str, Any], metadata: Mapping[str, str], content: bytes) -> str:
    described = json.dumps([header, dict(metadata)], sort_keys=True).encode()
    return hashlib.sha256(described + content[_data_start(content) :]).hexdigest()


def _data_start(content: bytes) -> int:
    return _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")


def _with_metadata(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return the same file with ``metadata`` in the order given.

    The package writes metadata in random order, but files are compared by their sums: a bundle's, a merge of counts.
    """
    start, header = _data_start(content), _header(content)
    text = json.dumps({"__metadata__": dict(metadata), **header} if metadata else header).encode()
    # Offsets in the header count from its end, which stays a multiple of 8 so that mapped arrays are aligned.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + content[start:]
