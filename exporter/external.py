"""Weights outside the graph: checked before anything is read or written, and taken from their file by pieces."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.index_map import Ids
from edgedraft.runtime.records import require

PROTOBUF_BYTES = 2**31 - 1
"""The largest message that protobuf reads or writes."""

_PIECE_BYTES = 1 << 24
_COPY_AFRESH = "copy the model's folder afresh"


def check_protobuf_size(path: Path) -> None:
    """Refuse a graph file that protobuf cannot read, before it tries."""
    size = path.stat().st_size
    remedy = "save the model with its weights as external data"
    require(
        size <= PROTOBUF_BYTES, f"{path}: expected at most 2 GB, protobuf's limit", got=f"{size} bytes", remedy=remedy
    )


def check_external(model: ir.Model, path: Path) -> None:
    """Refuse the graph read from ``path`` unless all its external tensors lie whole in plain files of its folder.

    Several names of one file are refused because onnx refuses them; the same goes for a link out of the folder.
    """
    _refuse_constants_outside(model, path)
    sizes: dict[str, int] = {}
    for tensor in _external_initializers(model):
        location = os.fspath(tensor.location)
        where = f"{path}: tensor {tensor.name}"
        if location not in sizes:
            sizes[location] = _data_file_bytes(path.parent, location, where)
        _require_whole(tensor, sizes[location], where)


def taken(tensor: ir.TensorProtocol, ids: Ids, axis: int) -> npt.NDArray[Any]:
    """``np.take(tensor, ids, axis)`` with ascending ``ids``, along the first axis or the last.

    A tensor on disk is read a piece at a time: the result and one piece are held, never the whole.
    """
    shape = tuple(int(size) for size in tensor.shape.numpy())
    first, last = axis in (0, -len(shape)), axis in (-1, len(shape) - 1)
    on_disk = isinstance(tensor, ir.ExternalTensor) and tensor.dtype.bitwidth >= 8
    if not on_disk or not (first or last):
        return np.take(tensor.numpy(), ids, axis=axis)
    result = np.empty((len(ids), *shape[1:]) if first else (*shape[:-1], len(ids)), dtype=tensor.dtype.numpy())
    for start, piece in _pieces(tensor, shape):
        if first:
            low, high = np.searchsorted(ids, (start, start + len(piece)))
            result[low:high] = piece[ids[low:high] - start]
        else:
            result[start : start + len(piece)] = np.take(piece, ids, axis=-1)
    return result


def _pieces(tensor: ir.ExternalTensor, shape: tuple[int, ...]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Runs of whole rows with the place of their first."""
    rows, *rest = shape
    dtype = np.dtype(tensor.dtype.numpy()).newbyteorder("<")
    row_items = int(np.prod(rest, dtype=np.int64))
    step = max(_PIECE_BYTES // max(row_items * dtype.itemsize, 1), 1)
    with Path(tensor.path).open("rb") as file:
        file.seek(tensor.offset or 0)
        for start in range(0, rows, step):
            count = min(step, rows - start)
            data = file.read(count * row_items * dtype.itemsize)
            yield start, np.frombuffer(data, dtype=dtype).reshape(count, *rest)


def _external_initializers(model: ir.Model) -> Iterator[ir.ExternalTensor]:
    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                yield value.const_value


def _refuse_constants_outside(model: ir.Model, path: Path) -> None:
    """A node's own tensors are written with the node; were they left outside, a copied graph would lose them."""
    for part in (model.graph, *model.functions.values()):
        for node in ir.traversal.RecursiveGraphIterator(part):
            for attribute in node.attributes.values():
                inside = attribute.is_ref() or not _holds_external(attribute)
                label = node.name or node.outputs[0].name
                rule = f"{path}: node {label}: {attribute.name} lies outside the graph, where only initializers may"
                require(inside, rule, remedy="save the model with its constants as initializers")


def _holds_external(attribute: ir.Attr) -> bool:
    if attribute.type == ir.AttributeType.TENSOR:
        return isinstance(attribute.value, ir.ExternalTensor)
    return attribute.type == ir.AttributeType.TENSORS and any(isinstance(x, ir.ExternalTensor) for x in attribute.value)


def _data_file_bytes(folder: Path, location: str, where: str) -> int:
    """Size of a data file that lies where it may."""
    rule = f"{where}: data file: expected a relative path inside the model's folder"
    parts = PurePosixPath(location.replace("\\", "/")).parts
    inside = bool(parts) and ".." not in parts and not location.startswith("/") and not PureWindowsPath(location).anchor
    require(inside, rule, got=repr(location), remedy="save the model with its data beside the graph")
    file = folder / location
    found = file.resolve()
    if not found.is_relative_to(folder.resolve()):
        raise EdgedraftError(f"{where}: {file} links out of the model's folder", got=found, remedy="put the file there")
    require(file.is_file(), f"{where}: {file}: no such data file", remedy=_COPY_AFRESH)
    facts = file.stat()
    rule = f"{where}: {file}: expected a file with one name, since onnx refuses hard links"
    require(facts.st_nlink == 1, rule, got=f"{facts.st_nlink} names", remedy="copy the file")
    return facts.st_size


def _require_whole(tensor: ir.ExternalTensor, file_bytes: int, where: str) -> None:
    """The tensor's bytes are as many as its shape asks for and end within the file."""
    offset, length, needed = tensor.offset or 0, tensor.length or tensor.nbytes, tensor.nbytes
    rule = f"{where}: expected {needed} bytes of data, as its type and shape have"
    require(length == needed, rule, got=length, remedy="export the model again")
    rule = f"{where}: {tensor.location} must hold bytes {offset} to {offset + length}"
    whole = offset >= 0 and offset + length <= file_bytes
    require(whole, rule, got=f"a file of {file_bytes}", remedy=f"the data is cut short: {_COPY_AFRESH}")
