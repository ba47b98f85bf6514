"""A target and the EAGLE layer that drafts for it: converted, checked against each other, opened on first use."""

from dataclasses import replace
from functools import cached_property

import onnx_ir as ir

from edgedraft.exporter.graph.head import head_row_size, trim_head
from edgedraft.exporter.graph.loading import (
    ModelSize,
    cache_bytes_per_token,
    load_graph,
    model_size,
    state_bytes,
    vocabulary_width,
)
from edgedraft.exporter.graph.sharing import repeated_bytes
from edgedraft.exporter.graph.taps import tap_target
from edgedraft.exporter.models.convert import OnnxFolder, context_length
from edgedraft.exporter.models.eagle.converting import LayerFolder
from edgedraft.exporter.models.end_tokens import end_token_ids
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.errors import unwritable_is_users
from edgedraft.runtime.base.siblings import temporary_file
from edgedraft.runtime.base.tokenizer_files import TOKENIZER, read_vocabulary
from edgedraft.runtime.bundle.manifest import HEAD
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.onnx.eagle import EagleGraph
from edgedraft.runtime.onnx.eagle_source import EagleSources
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from edgedraft.runtime.onnx.states import MOST_STATES
from edgedraft.runtime.text.codec import TextCodec


class EaglePair:
    """A converted target and a converted layer. Sessions open on first use and stay open.

    It answers what a `Pair` answers. ``vocab_size`` is the width of the target's logits, ``drafter_width`` the number
    of rows of the layer's whole head, ``head_ids`` their target tokens.
    """

    def __init__(self, target: OnnxFolder, drafter: LayerFolder, settings: SessionSettings) -> None:
        self.target, self.drafter = target, drafter
        whole, step = load_graph(target.graph), drafter.load()
        self.vocab_size, self.drafter_width = vocabulary_width(whole), vocabulary_width(step)
        self.fingerprint = read_vocabulary(target.path / TOKENIZER).fingerprint
        self.target_size: ModelSize = model_size(whole)
        self.drafter_size: ModelSize = model_size(step)
        self.head_row: ModelSize = head_row_size(step)
        self.end_token_ids = tuple(each for each in end_token_ids(target.path) if each < self.vocab_size)
        self.context_length = context_length(target.path)
        self.drafter_context_length = drafter.context_length
        longest = min(settings.context_length, self.context_length)
        self.settings = replace(settings, context_length=longest)
        self._target_repeats = repeated_bytes(whole)
        states = state_bytes(whole)
        self.target_is_recurrent = states > 0
        a_token = sum(cache_bytes_per_token(graph) for graph in (whole, step))
        self._cache_bytes = longest * a_token + states * MOST_STATES

    @property
    def head_ids(self) -> Ids:
        """Return the target's tokens that the layer's whole head scores, ascending."""
        return self.drafter.index_map.target_ids

    @property
    def most_draft_tokens(self) -> int:
        """Return the largest draft vocabulary."""
        return self.drafter_width

    def trimmed_size(self, size: int) -> ModelSize:
        """Return the weights that one step of the layer multiplies with if its head has ``size`` rows."""
        dropped = self.drafter_width - size
        return ModelSize(
            parameters=self.drafter_size.parameters - dropped * self.head_row.parameters,
            weight_bytes=self.drafter_size.weight_bytes - dropped * self.head_row.weight_bytes,
        )

    def memory_bytes(self, size: int) -> int:
        """Return the memory of both models, weights and key/value buffers, if the head has ``size`` rows."""
        return self._target_repeats + self.stored_bytes(size) + self._cache_bytes

    def stored_bytes(self, size: int) -> int:
        """Return the bytes of both models' files if the head has ``size`` rows; a whole borrowed head has none."""
        rows = size - (0 if HEAD in self.drafter.borrowed else self.drafter_width)
        whole = HEAD in self.drafter.borrowed and size == self.drafter_width
        more = 0 if whole else rows * self.head_row.weight_bytes
        return self.target.file_bytes + self.drafter.file_bytes + more

    def rows(self, kept: IndexMap) -> IndexMap:
        """Return the rows of the whole head that score the tokens in ``kept``."""
        return rows_of(kept, self.drafter.index_map)

    def trimmed(self, kept: IndexMap) -> ir.Model:
        """Return the graph of one step with the rows of ``kept`` alone."""
        step = self.drafter.load()
        if kept.draft_vocab_size < self.drafter_width:
            trim_head(step, self.rows(kept))
        return step

    def tapped(self) -> ir.Model:
        """Return the target's graph with the output that the layer reads."""
        model = load_graph(self.target.graph)
        tap_target(model, self.drafter.layout)
        return model

    @cached_property
    def codec(self) -> TextCodec:
        """Return the target's tokenizer and chat template."""
        return TextCodec(self.target.path)

    @cached_property
    def target_graph(self) -> OnnxGraph:
        """Return the tapped target, loaded."""
        wanted = self.target.graph.with_name(f"tapped-{self.drafter.key}.onnx")
        with unwritable_is_users(wanted), temporary_file(wanted) as beside:
            ir.save(self.tapped(), beside)
            return OnnxGraph(beside, self.settings)

    @cached_property
    def target_model(self) -> OnnxModel:
        """Return the tapped target with its own key/value cache."""
        return self.target_graph.new_model()

    def layer_graph(self, kept: IndexMap, settings: SessionSettings | None = None) -> EagleGraph:
        """Load the layer with the rows of ``kept`` alone."""
        opened = settings or self.settings
        opened = replace(opened, context_length=min(opened.context_length, self.drafter_context_length))
        wanted = self.drafter.path.with_name(f"{self.drafter.key}-{kept.draft_vocab_size}.onnx")
        with unwritable_is_users(wanted), temporary_file(wanted) as beside:
            ir.save(self.trimmed(kept), beside)
            return EagleGraph(beside, self.drafter.fusing, opened)

    def sources(self, kept: IndexMap) -> EagleSources:
        """Load the layer with the rows of ``kept`` alone, to draft with."""
        return EagleSources(graph=self.layer_graph(kept), index_map=kept)


def rows_of(kept: IndexMap, head: IndexMap) -> IndexMap:
    """Return the rows of ``head`` that score the tokens in ``kept``, which must all be among its tokens."""
    rows = head.to_draft(kept.target_ids.tolist())
    return IndexMap(target_ids=rows, target_vocab_size=head.draft_vocab_size)
