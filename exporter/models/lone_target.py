"""A target without a drafter: converted, with its tokens and the states that a drafter for it is trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import onnx_ir as ir

from edgedraft.exporter.graph.eagle.checkpoint import TargetShape
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.graph.taps import tap_for_training, target_shape
from edgedraft.exporter.models.convert import OnnxFolder, context_length
from edgedraft.exporter.models.eagle.fitting import default_taps, require_inside
from edgedraft.exporter.models.end_tokens import end_token_ids
from edgedraft.runtime.base.errors import unwritable_is_users
from edgedraft.runtime.base.siblings import temporary_file
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from edgedraft.runtime.text.codec import TextCodec


@dataclass(frozen=True, kw_only=True)
class LoneTarget:
    """A converted target, opened with ``settings``."""

    folder: OnnxFolder
    settings: SessionSettings

    @cached_property
    def codec(self) -> TextCodec:
        """Return the tokenizer and chat template."""
        return TextCodec(self.folder.path)

    @cached_property
    def shape(self) -> TargetShape:
        """Return the width of the states, the number of layers and the vocabulary size."""
        return target_shape(load_graph(self.folder.graph))

    @cached_property
    def end_token_ids(self) -> tuple[int, ...]:
        """Return the ids that end an answer, of those that the model has a row for."""
        return tuple(each for each in end_token_ids(self.folder.path) if each < self.shape.vocab_size)

    def taps(self, chosen: Sequence[int]) -> tuple[int, ...]:
        """Return the layers whose inputs a drafter reads: ``chosen``, or EAGLE-3's where none is; each must exist."""
        taps = tuple(chosen) or default_taps(self.shape.layers)
        require_inside(taps, self.shape.layers, f"{self.folder.source.name}: tapped layers", "choose other layers")
        return taps

    def tapped(self, taps: Sequence[int]) -> OnnxGraph:
        """Return the target, loaded, with the features that `tap_for_training` adds.

        A graph with that output lies beside the target's own while it is loaded, and reads the same weights.
        """
        model = load_graph(self.folder.graph)
        tap_for_training(model, taps)
        longest = min(self.settings.context_length, context_length(self.folder.path))
        wanted = self.folder.graph.with_name("features.onnx")
        with unwritable_is_users(wanted), temporary_file(wanted) as beside:
            ir.save(model, beside)
            return OnnxGraph(beside, replace(self.settings, context_length=longest))
