"""Store tensors with equal bytes once in a data file; every constant reads the same bytes."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx_ir as ir

_LEAST_BYTES = 1 << 12
"""Smaller tensors are not worth a look."""

Copies = dict[str, tuple[str, ir.TensorProtocol]]
"""Constants of the graph that repeat another: the other's name, and their own tensor."""


@contextmanager
def without_copies(model: ir.Model) -> Iterator[Copies]:
    """Remove the data of repeated constants from ``model`` within the block; yield which ones they are.

    A tied matrix is packed for the token embedding and for the head: the shapes differ, the bytes are the same.
    """
    copies = _copies(model)
    constants = model.graph.initializers
    for name, (_, tensor) in copies.items():
        constants[name].const_value = ir.tensor(np.zeros(1, np.uint8), name=tensor.name)
    try:
        yield copies
    finally:
        for name, (_, tensor) in copies.items():
            constants[name].const_value = tensor


def point_to_originals(path: Path, copies: Copies) -> None:
    """Make the ``copies`` in the graph file ``path`` refer to the bytes of their originals."""
    if not copies:
        return
    model = ir.load(path)
    for name, (original, tensor) in copies.items():
        stored = model.graph.initializers[original].const_value
        assert isinstance(stored, ir.ExternalTensor)
        value = model.graph.initializers[name]
        value.const_value = ir.ExternalTensor(
            stored.location,
            stored.offset,
            stored.length,
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=name,
            base_dir=path.parent,
        )
        value.dtype, value.shape = tensor.dtype, ir.Shape(tensor.shape.numpy())
    ir.save(model, path)


def repeated_bytes(model: ir.Model) -> int:
    """Return the bytes that repeated constants add in memory to those in the data file of ``model``."""
    return sum(tensor.nbytes for _, tensor in _copies(model).values())


def _copies(model: ir.Model) -> Copies:
    """Find the constants whose bytes equal those of an earlier constant of the same size and type."""
    by_size: dict[tuple[int, ir.DataType], list[tuple[str, ir.TensorProtocol]]] = {}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is not None and tensor.nbytes >= _LEAST_BYTES:
            by_size.setdefault((tensor.nbytes, tensor.dtype), []).append((name, tensor))
    found: Copies = {}
    for alike in by_size.values():
        seen: dict[object, str] = {}
        for name, tensor in alike if len(alike) > 1 else ():
            original = seen.setdefault(_content(tensor), name)
            if original != name:
                found[name] = (original, tensor)
    return found


def _content(tensor: ir.TensorProtocol) -> object:
    """Return a key that equal tensors share: their place in a file, or a checksum."""
    if isinstance(tensor, ir.ExternalTensor):
        return os.fspath(tensor.path), tensor.offset
    return hashlib.blake2b(np.ascontiguousarray(tensor.numpy()).tobytes()).digest()
