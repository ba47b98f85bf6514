"""Store an EAGLE layer's graph so that it reads the target's tensors from the target's own data file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from edgedraft.exporter.graph.loading import INLINE_BYTES
from edgedraft.exporter.graph.packing import INPUT_IDS


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFile:
    """A file for tensors, and the location by which the graph names it: a path relative to the graph's folder."""

    path: Path
    location: str


class SharedFiles:
    """The data files of a converted target, of which another graph may read tensors.

    ``locations``: how that graph names each file, by the file's resolved path.
    """

    def __init__(self, target: ir.Model, locations: Mapping[Path, str]) -> None:
        self._locations = locations
        self._by_size: dict[tuple[int, ir.DataType], list[ir.ExternalTensor]] = {}
        for value in target.graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor):
                self._by_size.setdefault((tensor.nbytes, tensor.dtype), []).append(tensor)

    def holding(self, tensor: ir.TensorProtocol) -> ir.ExternalTensor | None:
        """Return ``tensor`` as it stands in the target's files; None if it does not."""
        if isinstance(tensor, ir.ExternalTensor) and (known := self._locations.get(_file_of(tensor))) is not None:
            return placed(tensor, known)
        if tensor.nbytes <= INLINE_BYTES:
            return None
        for other in self._by_size.get((tensor.nbytes, tensor.dtype), ()):
            if tensor.tobytes() == other.tobytes():
                return placed(other, self._locations[_file_of(other)], tensor)
        return None


def share(model: ir.Model, target: SharedFiles) -> list[ir.Value]:
    """Make ``model``, in place, read from the target's files whatever stands there; return its other constants.

    These are tensors of the target, and others with the same bytes as one of the target's.
    """
    own = []
    for value in model.graph.initializers.values():
        there = None if value.const_value is None else target.holding(value.const_value)
        if there is not None:
            value.const_value = there
        else:
            own.append(value)
    return own


def save_shared(model: ir.Model, own: Sequence[ir.Value], graph: Path, data: DataFile) -> None:
    """Write ``model``, which was shared, to ``graph``; its own constants of over `INLINE_BYTES` go to ``data``."""
    large = [value for value in own if value.const_value is not None and value.const_value.nbytes > INLINE_BYTES]
    tensors = [value.const_value for value in large if value.const_value is not None]
    stored = ir.external_data.convert_tensors_to_external(tensors, data.path.parent, data.path.name)
    for value, tensor in zip(large, stored, strict=True):
        value.const_value = placed(tensor, data.location)
    ir.save(model, graph)


def table_bytes_outside(step: ir.Model, files: Iterable[str]) -> int:
    """Return the bytes of the layer's token embedding that lie in no file of these locations."""
    readers = [node for value in step.graph.inputs if value.name == INPUT_IDS for node in value.consumers()]
    tensors = [value.const_value for node in readers for value in node.inputs if value is not None]
    known = set(files)
    return sum(
        tensor.nbytes
        for tensor in tensors
        if tensor is not None
        and tensor.nbytes > INLINE_BYTES
        and not (isinstance(tensor, ir.ExternalTensor) and str(tensor.location) in known)
    )


def _file_of(tensor: ir.ExternalTensor) -> Path:
    return Path(tensor.path).resolve()


def placed(tensor: ir.ExternalTensor, location: str, like: ir.TensorProtocol | None = None) -> ir.ExternalTensor:
    """Return the same bytes, read from their file by another name, with the shape and name of ``like``."""
    shown = tensor if like is None else like
    return ir.ExternalTensor(
        location,
        tensor.offset,
        tensor.length,
        tensor.dtype,
        shape=ir.Shape(shown.shape.numpy()),
        name=str(shown.name),
        base_dir="",
    )
