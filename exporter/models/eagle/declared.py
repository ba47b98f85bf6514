"""Read from a target's own files, before anything is converted, the sizes that an EAGLE drafter must fit."""

from collections.abc import Mapping
from typing import Any

from edgedraft.exporter.graph.eagle.checkpoint import TargetShape
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.graph.taps import target_shape
from edgedraft.exporter.models.gguf_header import read_gguf_header
from edgedraft.exporter.models.sources import GGUF, ONNX, ModelSource, onnx_file
from edgedraft.runtime.base.files import read_json

_TABLE = "token_embd.weight"


def declared_shape(source: ModelSource) -> TargetShape | None:
    """Return the width of the states, the number of layers and of tokens; None where the files do not say."""
    if source.kind == ONNX:
        return target_shape(load_graph(onnx_file(source)))
    if source.kind == GGUF:
        return _of_gguf(source)
    return _of_config(read_json(source.path / "config.json", infinite=True))


def _of_config(config: Mapping[str, Any]) -> TargetShape | None:
    text = {**config, **(config.get("text_config") or {})}
    return _shape(text.get("hidden_size"), text.get("num_hidden_layers"), text.get("vocab_size"))


def _of_gguf(source: ModelSource) -> TargetShape | None:
    header = read_gguf_header(source.path)
    name = header.metadata.get("general.architecture")
    hidden, layers = (header.metadata.get(f"{name}.{key}") for key in ("embedding_length", "block_count"))
    tables = [tensor.shape for tensor in header.tensors if tensor.name == _TABLE]
    return _shape(hidden, layers, tables[0][-1] if tables else None)


def _shape(hidden: Any, layers: Any, tokens: Any) -> TargetShape | None:
    if not all(isinstance(size, int) for size in (hidden, layers, tokens)):
        return None
    return TargetShape(hidden=hidden, layers=layers, vocab_size=tokens)
