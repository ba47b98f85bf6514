"""A target and its drafter: converted, checked against each other, prepared for a provider, opened on first use."""

import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from edgedraft.exporter.graph.head import head_row_size
from edgedraft.exporter.graph.loading import (
    ModelSize,
    cache_bytes_per_token,
    load_graph,
    model_size,
    save_graph,
    vocabulary_width,
)
from edgedraft.exporter.graph.preparing import prepare
from edgedraft.exporter.graph.providers import Provider
from edgedraft.exporter.models.admission import require_readable_graph, require_supported
from edgedraft.exporter.models.convert import (
    GRAPH_NAME,
    OnnxFolder,
    context_length,
    convert,
    end_token_ids,
)
from edgedraft.exporter.models.sources import check_reference, resolve
from edgedraft.exporter.models.sums import is_whole, write_sums
from edgedraft.exporter.models.via_optimum import BUILDER
from edgedraft.exporter.models.whole_files import require_whole
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import replacing_folder
from edgedraft.runtime.base.tokenizer_files import tokenizer_fingerprint
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from edgedraft.runtime.text.codec import TextCodec


@dataclass(frozen=True, kw_only=True, slots=True)
class PairRequest:
    """The models by name, their precisions, the backend that exports those not in ONNX yet, and session settings."""

    target: str
    drafter: str
    target_precision: str
    drafter_precision: str
    settings: SessionSettings
    export_backend: str = BUILDER


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
        self.drafter_context_length = context_length(drafter.path)
        longest = min(settings.context_length, self.context_length, self.drafter_context_length)
        self.settings = replace(settings, context_length=longest)
        self._cache_bytes = a_token * longest

    def trimmed_size(self, size: int) -> ModelSize:
        """Return the weights that one step of the drafter multiplies with if its head has ``size`` rows."""
        dropped = self.vocab_size - size
        return ModelSize(
            parameters=self.drafter_size.parameters - dropped * self.head_row.parameters,
            weight_bytes=self.drafter_size.weight_bytes - dropped * self.head_row.weight_bytes,
        )

    def memory_bytes(self, size: int) -> int:
        """Return the memory of both models, weights and key/value buffers, if the drafter's head has ``size`` rows."""
        dropped = (self.vocab_size - size) * self.head_row.weight_bytes
        return self.target.file_bytes + self.drafter.file_bytes - dropped + self._cache_bytes

    @cached_property
    def codec(self) -> TextCodec:
        """Return the target's tokenizer and chat template."""
        return TextCodec(self.target.path)

    @cached_property
    def target_graph(self) -> OnnxGraph:
        """Return the target, loaded."""
        return OnnxGraph(self.target.graph, self.settings)

    @cached_property
    def drafter_graph(self) -> OnnxGraph:
        """Return the drafter with its full vocabulary, loaded."""
        return OnnxGraph(self.drafter.graph, self.settings)

    @cached_property
    def target_model(self) -> OnnxModel:
        """Return the target with its own key/value cache."""
        return self.target_graph.new_model()

    @cached_property
    def drafter_model(self) -> OnnxModel:
        """Return the drafter with its full vocabulary and its own key/value cache."""
        return self.drafter_graph.new_model()


def prepare_pair(request: PairRequest, cache: Path, progress: Progress = silent) -> Pair:
    """Fetch and convert both models (or take them from ``cache``) and check that they fit."""
    for reference in (request.drafter, request.target):
        check_reference(reference)
    drafter_source, target_source = (resolve(name, cache, progress) for name in (request.drafter, request.target))
    for source in (target_source, drafter_source):
        require_supported(source, request.export_backend)
    for source in (target_source, drafter_source):
        require_whole(source)
        require_readable_graph(source)
    drafter = convert(drafter_source, request.drafter_precision, cache, progress, request.export_backend)
    target = convert(target_source, request.target_precision, cache, progress, request.export_backend)
    return Pair(target, drafter, request.settings)


def prepared_pair(pair: Pair, provider: Provider, cache: Path) -> Pair:
    """Return the pair with graphs prepared for ``provider``, to be opened on it: what is timed is what is bundled."""
    target, drafter = (prepared_folder(folder, provider, cache) for folder in (pair.target, pair.drafter))
    return Pair(target, drafter, replace(pair.settings, provider=provider.name))


def prepared_folder(folder: OnnxFolder, provider: Provider, cache: Path) -> OnnxFolder:
    """Return the folder itself if ``provider`` needs no change, else a prepared copy in ``cache``, made once."""
    path = cache / "onnx" / f"{folder.key}-{provider.name}"
    if not is_whole(path):
        model = load_graph(folder.graph)
        if not prepare(model, provider):
            return folder
        with replacing_folder(path) as temporary:
            save_graph(model, temporary / GRAPH_NAME, f"{GRAPH_NAME}.data")
            for file in folder.path.iterdir():
                if file.is_file() and not file.name.startswith(GRAPH_NAME):
                    shutil.copyfile(file, temporary / file.name)
            write_sums(temporary)
    return replace(folder, path=path)


def _shared_fingerprint(target: Path, drafter: Path) -> str:
    """Return the fingerprint of both tokenizers; refuse a drafter whose ids do not mean the target's tokens."""
    of_target, of_drafter = (tokenizer_fingerprint(folder / "tokenizer.json") for folder in (target, drafter))
    require(
        of_target == of_drafter,
        f"target and drafter must share one tokenizer: {target.name} has {of_target[:12]}",
        got=f"{of_drafter[:12]} from {drafter.name}",
        remedy="choose a drafter of the target's family",
    )
    return of_target
