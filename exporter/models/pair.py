"""A target and its drafter: converted, checked against each other, prepared for a provider, opened on first use."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from edgedraft.exporter.graph.head import head_row_size
from edgedraft.exporter.graph.loading import (
    ModelSize,
    cache_bytes_per_token,
    load_graph,
    model_size,
    save_graph,
    state_bytes,
    vocabulary_width,
)
from edgedraft.exporter.graph.preparing import prepare
from edgedraft.exporter.graph.providers import Provider
from edgedraft.exporter.graph.sharing import repeated_bytes
from edgedraft.exporter.models.admission import require_readable_graph, require_supported
from edgedraft.exporter.models.convert import (
    GRAPH_NAME,
    OnnxFolder,
    context_length,
    convert,
)
from edgedraft.exporter.models.eagle.converting import convert_layer
from edgedraft.exporter.models.eagle.declared import declared_shape
from edgedraft.exporter.models.eagle.fitting import fitted
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.end_tokens import end_token_ids
from edgedraft.exporter.models.fitting import open_fitted
from edgedraft.exporter.models.layers import declared_layer, is_layer, layer_source, settled_drafter
from edgedraft.exporter.models.sources import ModelSource, check_reference, is_on_disk, resolve
from edgedraft.exporter.models.sums import is_whole, write_sums
from edgedraft.exporter.models.via_optimum import BUILDER
from edgedraft.exporter.models.vocabulary import NamedVocabulary, named_vocabulary, require_one_tokenizer
from edgedraft.exporter.models.whole_files import require_whole
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.replacing import replacing_folder
from edgedraft.runtime.base.tokenizer_files import TOKENIZER, read_vocabulary
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from edgedraft.runtime.onnx.states import MOST_STATES
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
    """Two ONNX folders that share a tokenizer. Sessions open on first use and stay open.

    ``vocab_size`` and ``drafter_width`` are the widths of the two models' logits, which padding can make differ.
    """

    def __init__(self, target: OnnxFolder, drafter: OnnxFolder, settings: SessionSettings) -> None:
        self.target = target
        self.drafter = drafter
        target_graph, drafter_graph = load_graph(target.graph), load_graph(drafter.graph)
        self.vocab_size = vocabulary_width(target_graph)
        self.drafter_width = vocabulary_width(drafter_graph)
        of_target = _converted_vocabulary(target, self.vocab_size)
        of_drafter = _converted_vocabulary(drafter, self.drafter_width)
        require_one_tokenizer(of_target, of_drafter)
        self.fingerprint = of_target.vocabulary.fingerprint
        self.target_size: ModelSize = model_size(target_graph)
        self.drafter_size: ModelSize = model_size(drafter_graph)
        self.head_row: ModelSize = head_row_size(drafter_graph)
        self._target_repeats, self._drafter_repeats = repeated_bytes(target_graph), repeated_bytes(drafter_graph)
        a_token = sum(cache_bytes_per_token(graph) for graph in (target_graph, drafter_graph))
        # A tokenizer may name tokens that the model has no row for.
        self.end_token_ids = tuple(each for each in end_token_ids(target.path) if each < self.vocab_size)
        self.context_length = context_length(target.path)
        self.drafter_context_length = context_length(drafter.path)
        longest = min(settings.context_length, self.context_length, self.drafter_context_length)
        self.settings = replace(settings, context_length=longest)
        self._states = ((target, state_bytes(target_graph)), (drafter, state_bytes(drafter_graph)))
        self.target_is_recurrent = self._states[0][1] > 0
        self._cache_bytes = a_token * longest + sum(size for _, size in self._states) * MOST_STATES

    @property
    def recurrent(self) -> str | None:
        """Return the name of the first model with recurrent states; None where neither has any."""
        return next((folder.source.name for folder, size in self._states if size), None)

    @property
    def head_ids(self) -> Ids:
        """Return the target's tokens that the drafter's whole head scores, ascending."""
        return np.arange(self.most_draft_tokens, dtype=np.int64)

    @property
    def most_draft_tokens(self) -> int:
        """Return the largest draft vocabulary: the ids that both models have a row for."""
        return min(self.vocab_size, self.drafter_width)

    def trimmed_size(self, size: int) -> ModelSize:
        """Return the weights that one step of the drafter multiplies with if its head has ``size`` rows."""
        dropped = self.drafter_width - size
        return ModelSize(
            parameters=self.drafter_size.parameters - dropped * self.head_row.parameters,
            weight_bytes=self.drafter_size.weight_bytes - dropped * self.head_row.weight_bytes,
        )

    def memory_bytes(self, size: int) -> int:
        """Return the memory of both models, weights and key/value buffers, if the drafter's head has ``size`` rows."""
        return self._target_repeats + self.stored_bytes(size) + self._cache_bytes

    def stored_bytes(self, size: int) -> int:
        """Return the bytes of both models' files if the drafter's head has ``size`` rows.

        A cut head has rows of its own, also where the whole one shared its bytes with the token table.
        """
        dropped = (self.drafter_width - size) * self.head_row.weight_bytes
        return self.target.file_bytes + self.drafter.file_bytes + self._drafter_repeats - dropped

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
        """Return the drafter with its full vocabulary, loaded; its logits are as wide as the target's."""
        return open_fitted(self.drafter.graph, self.vocab_size, self.settings)

    @cached_property
    def target_model(self) -> OnnxModel:
        """Return the target with its own key/value cache."""
        return self.target_graph.new_model()

    @cached_property
    def drafter_model(self) -> OnnxModel:
        """Return the drafter with its full vocabulary and its own key/value cache."""
        return self.drafter_graph.new_model()


AnyPair = Pair | EaglePair


def prepare_pair(request: PairRequest, cache: Path, progress: Progress = silent) -> AnyPair:
    """Fetch and convert both models (or take them from ``cache``) and check that they fit."""
    return prepare_pairs([request], cache, progress)[0]


def prepare_pairs(requests: Sequence[PairRequest], cache: Path, progress: Progress = silent) -> list[AnyPair]:
    """Do what `prepare_pair` does for one pair of models in several precisions."""
    first = requests[0]
    sources = fitting_sources(first.target, first.drafter, first.export_backend, cache, progress)
    return [_converted_pair(request, *sources, cache, progress) for request in requests]


def fitting_sources(
    target: str, drafter: str, export_backend: str, cache: Path, progress: Progress = silent
) -> tuple[ModelSource, ModelSource]:
    """Fetch target and drafter; refuse, before anything is converted, a pair that could not be used.

    The drafter may be a layer on the target (see `layer_source` and `settled_drafter`). Raises `EdgedraftError` for
    tokenizers that differ (where it can be, before weights are downloaded), families that are not taken, files that are
    not whole, and a layer that was made for another target.
    """
    check_reference(target)
    drafter = settled_drafter(target, drafter, cache, progress)
    check_reference(drafter)
    layer = layer_source(drafter, cache, progress) if is_on_disk(drafter) else None
    for reference in filter(is_on_disk, (target,) if layer is not None else (target, drafter)):
        require_supported(resolve(reference, cache, progress), export_backend)
    layer = layer_source(drafter, cache, progress) if layer is None else layer
    if layer is not None:
        return _fitting_target(target, layer, export_backend, cache, progress), layer
    of_target, of_drafter = (named_vocabulary(name, cache, progress) for name in (target, drafter))
    if of_target is not None and of_drafter is not None:
        require_one_tokenizer(of_target, of_drafter)
    by_drafter, by_target = (resolve(name, cache, progress) for name in (drafter, target))
    for source in (by_target, by_drafter):
        require_supported(source, export_backend)
    for source in (by_target, by_drafter):
        require_whole(source)
        require_readable_graph(source)
    return by_target, by_drafter


def _fitting_target(
    reference: str, layer: ModelSource, export_backend: str, cache: Path, progress: Progress
) -> ModelSource:
    """Fetch the target of a layer; refuse one that the layer was not made for."""
    checkpoint = declared_layer(layer)
    target = resolve(reference, cache, progress)
    require_supported(target, export_backend)
    shape = declared_shape(target)
    if shape is not None:
        fitted(checkpoint, shape)
    require_whole(target)
    require_readable_graph(target)
    return target


def _converted_pair(
    request: PairRequest, target: ModelSource, drafter: ModelSource, cache: Path, progress: Progress
) -> AnyPair:
    if is_layer(drafter):
        converted = convert(target, request.target_precision, cache, progress, request.export_backend)
        layer = convert_layer(drafter, converted, request.drafter_precision, progress)
        return EaglePair(converted, layer, request.settings)
    by_drafter = convert(drafter, request.drafter_precision, cache, progress, request.export_backend)
    by_target = convert(target, request.target_precision, cache, progress, request.export_backend)
    return Pair(by_target, by_drafter, request.settings)


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


def _converted_vocabulary(folder: OnnxFolder, width: int) -> NamedVocabulary:
    vocabulary = read_vocabulary(folder.path / TOKENIZER)
    return NamedVocabulary(name=folder.source.name, vocabulary=vocabulary, width=width)
