"""Find every file that ONNX Runtime would read with a graph, without opening any of them.

A tensor may keep its values in another file, wherever a tensor may stand: among the initializers of any graph or
subgraph, in the attributes of nodes and of functions, in training graphs, in sparse tensors. Some operators name files,
too. Source: onnx.proto, and ONNX Runtime's contrib operators.
"""

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from edgedraft.runtime.base.errors import shown
from edgedraft.runtime.base.graph_file import Span, fields, opened_graph_file, texts
from edgedraft.runtime.base.records import require

_MOST_DEPTH = 64

# Field numbers from onnx.proto.
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_NODE_OPERATOR = 4
_TENSOR_NAME, _TENSOR_EXTERNAL = 8, 13
_LOCATION = "location"
_GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _TRAINING = (
    *("graph", "node", "attribute", "tensor", "sparse tensor", "function", "training"),
)
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {},
    _TENSOR: {},
}
"""By kind of message, the fields that may hold a tensor in the end."""

_READ_FILES = frozenset(("EPContext", "OpenVINOEPContext"))
"""Operators that read a file of their own: compiled models of accelerators."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalValue:
    """The place of a tensor's values outside the graph: the file ``location`` names, as it is written there."""

    tensor: str
    location: str


def external_values(path: Path) -> list[ExternalValue]:
    """List the tensors of the ONNX graph in ``path`` whose values lie in other files.

    Raises `EdgedraftError` for a file that is no ONNX model, for operators that read files of their own, and for sparse
    tensors, which a few bytes can declare to be larger than any memory.
    """
    with opened_graph_file(path) as data:
        return list(_external(data, (0, len(data)), "model", path, 0))


def require_reads(path: Path, is_allowed: Callable[[str], bool], remedy: str) -> None:
    """Refuse the graph in ``path`` if it reads a file for whose location ``is_allowed`` is false."""
    allowed: set[str] = set()
    for each in external_values(path):
        if each.location in allowed:
            continue
        rule = f"{path}: tensor {each.tensor[:80]}: expected its data in a file of the model"
        require(is_allowed(each.location), rule, got=shown(each.location), remedy=remedy)
        allowed.add(each.location)


def require_own_data(path: Path) -> None:
    """Refuse the graph in ``path`` if it reads anything but plain files of its own folder.

    Links may lead to where the graph itself lies: the hub's client keeps a folder of links.
    """
    homes = (path.parent.resolve(), path.resolve().parent)

    def is_own(location: str) -> bool:
        parts = PurePosixPath(location.replace("\\", "/")).parts
        if not parts or ".." in parts or "\0" in location or Path(location).anchor or PureWindowsPath(location).anchor:
            return False
        file = (path.parent / location).resolve()
        return file.is_file() and any(file.is_relative_to(home) for home in homes)

    require_reads(path, is_own, "copy the model's folder afresh, with its data beside the graph")


def _external(data: mmap.mmap, span: Span, kind: str, path: Path, depth: int) -> Iterator[ExternalValue]:
    if kind == _TENSOR:
        yield from _of_tensor(data, span)
        return
    require(kind != _SPARSE, f"{path}: expected no sparse tensor", remedy="export the model again")
    require(depth <= _MOST_DEPTH, f"{path}: graphs nested too deeply")
    inside = _INSIDE[kind]
    for number, value in fields(data, span):
        if kind == _NODE and number == _NODE_OPERATOR and isinstance(value, tuple):
            operator = data[value[0] : value[1]].decode()
            rule = f"{path}: expected no operator that reads a file of its own"
            require(operator not in _READ_FILES, rule, got=operator, remedy="export the model again")
        if number in inside and isinstance(value, tuple):
            yield from _external(data, value, inside[number], path, depth + 1)


def _of_tensor(data: mmap.mmap, span: Span) -> Iterator[ExternalValue]:
    """Yield the locations of a tensor's values, whether or not the tensor says that they count."""
    named = None
    for number, value in fields(data, span):
        if number != _TENSOR_EXTERNAL or not isinstance(value, tuple):
            continue
        keys, values = texts(data, value, _ENTRY_KEY), texts(data, value, _ENTRY_VALUE)
        if _LOCATION in keys:
            named = named or (texts(data, span, _TENSOR_NAME) or ["without a name"])[-1]
            for location in values or [""]:
                yield ExternalValue(tensor=named, location=location)
