"""Weights outside the graph: checked before anything is read or written, and read from their file piece by piece."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx_ir as ir

from edgedraft.runtime.base.arrays import AnyArray, Ids
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

PROTOBUF_BYTES = 2**31 - 1
"""The largest message that protobuf reads or writes."""

# The hub client's cache: models--ORG--NAME/snapshots/REVISION holds links into models--ORG--NAME/blobs.
_SNAPSHOTS, _BLOBS, _MODELS = "snapshots", "blobs", "models--"

_PIECE_BYTES = 1 << 24
_LARGEST_CONSTANT_BYTES = 1 << 26
_COPY_AFRESH = "copy the model's folder afresh"


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A revision of a hub repository: links into the ``blobs`` of ``root``, each named by the sum of its content."""

    repository: str
    root: Path


def snapshot_around(folder: Path) -> Snapshot | None:
    """Return the snapshot that ``folder`` is or lies in, None for any other folder."""
    absolute = folder.absolute()
    for revision in (absolute, *absolute.parents):
        root = revision.parent.parent
        if revision.parent.name == _SNAPSHOTS and root.name.startswith(_MODELS) and (root / _BLOBS).is_dir():
            return Snapshot(repository=root.name.removeprefix(_MODELS).replace("--", "/", 1), root=root)
    return None


def blob_name(file: Path) -> str | None:
    """Return the name of the blob that ``file`` links to, a sum of its content; None for any other file."""
    if not file.is_symlink():
        return None
    target = file.resolve()
    return target.name if target.parent.name == _BLOBS else None


def check_protobuf_size(path: Path) -> None:
    """Refuse a graph file that is too large for protobuf, before protobuf tries."""
    size = path.stat().st_size
    remedy = "save the model with its weights as external data"
    require(
        size <= PROTOBUF_BYTES, f"{path}: expected at most 2 GB, protobuf's limit", got=f"{size} bytes", remedy=remedy
    )


def check_external(model: ir.Model, path: Path) -> None:
    """Refuse the graph read from ``path`` unless all its external tensors lie whole in plain files of its folder.

    Several names of one file are refused because onnx refuses them; the same goes for a link out of the folder, but not
    for those of a hub snapshot into its own repository's blobs: such tensors are then read from where the links lead.
    """
    files: dict[str, Path] = {}
    folder = path.parent.resolve()
    for holder in _holders(model):
        tensor = holder.tensor
        location = os.fspath(tensor.location)
        where = f"{path}: tensor {tensor.name}" if holder.node is None else f"{path}: node {_label(holder.node)}"
        if location not in files:
            files[location] = _data_file(path.parent, location, where)
        _require_whole(tensor, files[location].stat().st_size, where)
        if not files[location].is_relative_to(folder):
            holder.put(_moved(tensor, files[location]))


def take_constants_inside(model: ir.Model, path: Path) -> None:
    """Read into memory the tensors that nodes hold in attributes; the weights stay in the data file.

    Optimum moves everything above a kilobyte out of a large graph, attributes of nodes too. A copied graph would lose
    those, because only initializers are written to a data file.
    """
    for holder in _holders(model):
        if holder.node is None:
            continue
        rule = f"{path}: node {_label(holder.node)}: only initializers may lie outside the graph with over 64 MB"
        remedy = "save the model with its weights as initializers"
        tensor = holder.tensor
        require(tensor.nbytes <= _LARGEST_CONSTANT_BYTES, rule, got=f"{tensor.nbytes} bytes", remedy=remedy)
        holder.put(ir.tensor(tensor.numpy().copy(), name=tensor.name))
        tensor.release()


def taken(tensor: ir.TensorProtocol, ids: Ids, axis: int) -> AnyArray:
    """Return ``np.take(tensor, ids, axis)`` for ascending ``ids``, along the first axis or the last.

    A tensor on disk is read a piece at a time: the result and one piece are held, never the whole.
    """
    shape = tuple(tensor.shape.numpy())
    first, last = axis in (0, -len(shape)), axis in (-1, len(shape) - 1)
    # Types under a byte are packed on disk, so that an element has no address of its own.
    if not isinstance(tensor, ir.ExternalTensor) or tensor.dtype.bitwidth < 8 or not (first or last):
        return np.take(tensor.numpy(), ids, axis=axis)
    result = np.empty((len(ids), *shape[1:]) if first else (*shape[:-1], len(ids)), dtype=tensor.dtype.numpy())
    for start, piece in _pieces(tensor, shape):
        if first:
            low, high = np.searchsorted(ids, (start, start + len(piece)))
            result[low:high] = piece[ids[low:high] - start]
        else:
            result[start : start + len(piece)] = np.take(piece, ids, axis=-1)
    return result


def _pieces(tensor: ir.ExternalTensor, shape: tuple[int, ...]) -> Iterator[tuple[int, AnyArray]]:
    """Yield pieces of whole rows, each with the index of its first row."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Holder:
    """An external tensor of an initializer or of an attribute of ``node``; ``put`` replaces it there."""

    tensor: ir.ExternalTensor
    node: ir.Node | None
    put: Callable[[ir.TensorProtocol], None]


def _holders(model: ir.Model) -> list[_Holder]:
    """List every external tensor of the model."""
    holders = []
    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                put = partial(_put_initializer, value)
                holders.append(_Holder(tensor=value.const_value, node=None, put=put))
    parts: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for part in parts:
        for node in ir.traversal.RecursiveGraphIterator(part):
            for attribute in node.attributes.values():
                holders += _held(node, attribute)
    return holders


def _held(node: ir.Node, attribute: ir.Attr) -> list[_Holder]:
    """List the external tensors of one attribute."""
    if attribute.is_ref() or attribute.type not in (ir.AttributeType.TENSOR, ir.AttributeType.TENSORS):
        return []
    name = attribute.name
    if attribute.type == ir.AttributeType.TENSOR:
        tensor = attribute.as_tensor()
        put = partial(_put_one, node, name)
        return [_Holder(tensor=tensor, node=node, put=put)] if isinstance(tensor, ir.ExternalTensor) else []
    return [
        _Holder(tensor=tensor, node=node, put=partial(_put_among, node, name, place))
        for place, tensor in enumerate(attribute.as_tensors())
        if isinstance(tensor, ir.ExternalTensor)
    ]


def _put_initializer(value: ir.Value, tensor: ir.TensorProtocol) -> None:
    value.const_value = tensor


def _put_one(node: ir.Node, name: str, tensor: ir.TensorProtocol) -> None:
    node.attributes[name] = ir.AttrTensor(name, tensor)


def _put_among(node: ir.Node, name: str, place: int, tensor: ir.TensorProtocol) -> None:
    tensors = list(node.attributes[name].as_tensors())
    tensors[place] = tensor
    node.attributes[name] = ir.AttrTensors(name, tensors)


def _label(node: ir.Node) -> str:
    return str(node.name or node.outputs[0].name)


def _moved(tensor: ir.ExternalTensor, file: Path) -> ir.ExternalTensor:
    """Return the same tensor, read from ``file``."""
    return ir.ExternalTensor(
        file.name,
        tensor.offset,
        tensor.length,
        tensor.dtype,
        shape=tensor.shape,
        name=str(tensor.name),
        base_dir=file.parent,
    )


def _data_file(folder: Path, location: str, where: str) -> Path:
    """Return the resolved path of a data file, or refuse one that lies outside the model's folder."""
    rule = f"{where}: data file: expected a relative path inside the model's folder"
    parts = PurePosixPath(location.replace("\\", "/")).parts
    inside = bool(parts) and ".." not in parts and not location.startswith("/") and not PureWindowsPath(location).anchor
    require(inside, rule, got=repr(location), remedy="save the model with its data beside the graph")
    file = folder / location
    resolved = file.resolve()
    snapshot = snapshot_around(folder)
    home = (folder if snapshot is None else snapshot.root).resolve()
    if not resolved.is_relative_to(home):
        rule = f"{where}: {file} links out of the model's folder"
        raise EdgedraftError(rule, got=resolved, remedy="put the file there")
    require(file.is_file(), f"{where}: {file}: no such data file", remedy=_COPY_AFRESH)
    rule = f"{where}: {file}: expected a file with one name, since onnx refuses hard links"
    names = file.stat().st_nlink
    require(names == 1, rule, got=f"{names} names", remedy="copy the file")
    return resolved


def _require_whole(tensor: ir.ExternalTensor, file_bytes: int, where: str) -> None:
    """Refuse a tensor whose bytes are not as many as its shape asks for, or end behind the file."""
    offset, length, needed = tensor.offset or 0, tensor.length or tensor.nbytes, tensor.nbytes
    rule = f"{where}: expected {needed} bytes of data, as its type and shape have"
    require(length == needed, rule, got=length, remedy="export the model again")
    rule = f"{where}: {tensor.location} must hold bytes {offset} to {offset + length}"
    whole = offset >= 0 and offset + length <= file_bytes
    require(whole, rule, got=f"a file of {file_bytes}", remedy=f"the data is cut short: {_COPY_AFRESH}")
