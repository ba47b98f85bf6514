"""Data files of bounded size: a graph whose weights are too many for one file keeps them in several."""

from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from edgedraft.exporter.graph.loading import INLINE_BYTES, save_graph


def save_in_shards(model: ir.Model, path: Path, data_name: str, limit: int | None) -> None:
    """Write the graph like `save_graph`, with its weights in files that hold at most ``limit`` bytes, or one tensor.

    The first file is ``data_name``; None puts all into it. Afterwards ``model`` reads its weights from the new files
    where they are several. Tensors on disk are copied from file to file.
    """
    values = [
        value for graph in model.graphs() for value in graph.initializers.values() if value.const_value is not None
    ]
    outside = [value for value in values if _tensor(value).nbytes > INLINE_BYTES]
    groups = [] if limit is None else shards([_tensor(value).nbytes for value in outside], limit)
    if len(groups) <= 1:
        save_graph(model, path, data_name)
        return
    inside = [value for value in values if _tensor(value).nbytes <= INLINE_BYTES and _on_disk(value)]
    _hold(inside, ir.external_data.convert_tensors_from_external([_tensor(value) for value in inside]))
    for number, group in enumerate(groups):
        some = [outside[place] for place in group]
        tensors, name = [_tensor(value) for value in some], shard_name(data_name, number)
        _hold(some, ir.external_data.convert_tensors_to_external(tensors, path.parent, name))
    ir.save(model, path)


def shards(sizes: Sequence[int], limit: int) -> list[range]:
    """Runs of ``sizes`` that add up to at most ``limit`` each; a single larger size has a run of its own."""
    runs: list[range] = []
    start = total = 0
    for place, size in enumerate(sizes):
        if place > start and total + size > limit:
            runs.append(range(start, place))
            start, total = place, 0
        total += size
    return [*runs, range(start, len(sizes))] if sizes else runs


def shard_name(data_name: str, number: int) -> str:
    """``model.onnx.data``, then ``model.onnx_1.data`` and so on."""
    stem, _, ending = data_name.rpartition(".")
    return data_name if number == 0 else f"{stem}_{number}.{ending}"


def _tensor(value: ir.Value) -> ir.TensorProtocol:
    assert value.const_value is not None
    return value.const_value


def _on_disk(value: ir.Value) -> bool:
    return isinstance(value.const_value, ir.ExternalTensor)


def _hold(values: Sequence[ir.Value], tensors: Sequence[ir.TensorProtocol]) -> None:
    for value, tensor in zip(values, tensors, strict=True):
        value.const_value = tensor
