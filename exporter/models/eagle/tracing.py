"""Open a converted EAGLE layer so that it scores drafts of every depth along given texts."""

from dataclasses import replace

import onnx_ir as ir

from edgedraft.exporter.graph.eagle.depths import score_depths
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.runtime.base.errors import unwritable_is_users
from edgedraft.runtime.base.siblings import temporary_file
from edgedraft.runtime.onnx.eagle_depths import PLACES, EagleDepths


def open_scorer(pair: EaglePair, depths: int) -> EagleDepths:
    """Load the pair's layer with its whole head, to score drafts at ``depths`` depths."""
    model, layer = pair.drafter.load(), pair.drafter
    score_depths(model, PLACES)
    wanted = layer.path.with_name(f"{layer.key}-depths.onnx")
    settings = replace(pair.settings, context_length=min(pair.settings.context_length, pair.drafter_context_length))
    # Beside the target's conversion, whose tensors the graph reads.
    with unwritable_is_users(wanted), temporary_file(wanted) as beside:
        ir.save(model, beside)
        return EagleDepths(beside, layer.fusing, layer.index_map, settings, depths)
