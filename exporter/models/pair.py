"""A target and its drafter, converted, checked against each other, and opened when first needed."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from edgedraft.exporter.graph.head import head_row_size
from edgedraft.exporter.graph.loading import ModelSize, cache_bytes_per_token, load_graph, model_size, vocabulary_width
from edgedraft.exporter.models.convert import OnnxFolder, context_length, convert, end_token_ids
from edgedraft.exporter.models.routes import BUILDER
from edgedraft.exporter.models.sources import check_reference, resolve
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tokenizer_files import tokenizer_fingerprint
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from edgedraft.runtime.text.codec import TextCodec


@dataclass(frozen=True, kw_only=True, slots=True)
class PairRequest:
    """Which models, in which precisions, exported by which route where they are not ONNX yet, and opened how."""

    target: str
    drafter: str
    target_precision: str
    drafter_precision: str
    settings: SessionSettings
    via: str = BUILDER


class Pair:
    """Two ONNX folders that share a vocabulary. Sessions open on first use and stay open."""

    def __init__(self, target: OnnxFolder, drafter: OnnxFolder, settings: SessionSettings) -> None:
        self.target = target
        self.drafter = drafter
        self.fingerprint = _shared_fingerprint(target.path, drafter.path)
        target_graph, drafter_graph = load_graph(target.graph), load_graph(drafter.graph)
        self.vocab_size = vocabulary_width(target_graph)
        width = vocabulary_width(drafter_graph)
        remedy = "choose a drafter of the target's family"
        require(width == self.vocab_size, f"drafter logits must be {self.vocab_size} wide", got=width, remedy=remedy)
        self.target_size: ModelSize = model_size(target_graph)
        self.drafter_size: ModelSize = model_size(drafter_graph)
        self.head_row: ModelSize = head_row_size(drafter_graph)
        a_token = sum(cache_bytes_per_token(graph) for graph in (target_graph, drafter_graph))
        self.end_token_ids = end_token_ids(target.path)
        self.context_length = context_length(target.path)
        longest = min(settings.context_length, self.context_length, context_length(drafter.path))
        self.settings = replace(settings, context_length=longest)
        self._cache_bytes = a_token * longest

    def trimmed_size(self, size: int) -> ModelSize:
        """What one step of the drafter multiplies with when its head has ``size`` rows."""
        dropped = self.vocab_size - size
        return ModelSize(
            parameters=self.drafter_size.parameters - dropped * self.head_row.parameters,
            weight_bytes=self.drafter_size.weight_bytes - dropped * self.head_row.weight_bytes,
        )

    def memory_bytes(self, size: int) -> int:
        """What both take when the drafter's head has ``size`` rows: files, and key/value buffers of a context."""
        dropped = (self.vocab_size - size) * self.head_row.weight_bytes
        return self.target.file_bytes + self.drafter.file_bytes - dropped + self._cache_bytes

    @cached_property
    def codec(self) -> TextCodec:
        """The target's tokenizer and chat template."""
        return TextCodec(self.target.path)

    @cached_property
    def target_graph(self) -> OnnxGraph:
        """The target, loaded."""
        return OnnxGraph(self.target.graph, self.settings)

    @cached_property
    def drafter_graph(self) -> OnnxGraph:
        """The drafter with its full vocabulary, loaded."""
        return OnnxGraph(self.drafter.graph, self.settings)

    @cached_property
    def target_model(self) -> OnnxModel:
        """The target with a memory of its own."""
        return self.target_graph.new_model()

    @cached_property
    def drafter_model(self) -> OnnxModel:
        """The drafter with its full vocabulary and a memory of its own."""
        return self.drafter_graph.new_model()


def prepare_pair(request: PairRequest, cache: Path, progress: Progress = silent) -> Pair:
    """Fetch and convert both models (or take them from ``cache``) and check that they fit."""
    for reference in (request.drafter, request.target):
        check_reference(reference)
    drafter_source, target_source = (resolve(name, cache, progress) for name in (request.drafter, request.target))
    drafter = convert(drafter_source, request.drafter_precision, cache, progress, request.via)
    target = convert(target_source, request.target_precision, cache, progress, request.via)
    return Pair(target, drafter, request.settings)


def _shared_fingerprint(target: Path, drafter: Path) -> str:
    """The fingerprint of both tokenizers, or an error: a drafter's ids must mean the target's tokens."""
    wanted, found = (tokenizer_fingerprint(folder / "tokenizer.json") for folder in (target, drafter))
    require(
        wanted == found,
        f"target and drafter must share one tokenizer: {target.name} has {wanted[:12]}",
        got=f"{found[:12]} from {drafter.name}",
        remedy="choose a drafter of the target's family",
    )
    return wanted
