"""Open the drafter of a bundle, of whatever kind, as a factory of token sources."""

from dataclasses import dataclass
from pathlib import Path

from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.head_rows_file import open_head_rows
from edgedraft.runtime.bundle.manifest import BundleManifest
from edgedraft.runtime.bundle.reading import Bundle
from edgedraft.runtime.core.sources import ModelSources, SourceFactory
from edgedraft.runtime.onnx.eagle import EagleGraph
from edgedraft.runtime.onnx.eagle_source import EagleSources
from edgedraft.runtime.onnx.head_rows import ConversationHead
from edgedraft.runtime.onnx.planned_kernels import as_planned, padded_graph
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BundleDrafter:
    """A drafter, loaded: its sources, and the graph that scores tokens."""

    sources: SourceFactory
    graph: OnnxGraph


def open_drafter(bundle: Bundle, settings: SessionSettings) -> BundleDrafter:
    """Load the drafter of ``bundle``, with the kernels that its plan names."""
    manifest, path = bundle.manifest, bundle.drafter_graph
    planned = as_planned(settings, path, manifest.plan.kernels.drafter)
    if manifest.layer is None:
        return _model(bundle, manifest, OnnxGraph(path, planned))
    layer = EagleGraph(path, bundle.fusing_graph, planned)
    return BundleDrafter(sources=EagleSources(graph=layer, index_map=bundle.index_map), graph=layer.step)


def _model(bundle: Bundle, manifest: BundleManifest, graph: OnnxGraph) -> BundleDrafter:
    plan = manifest.plan
    padded = padded_graph(graph, plan.drafter_pass_seconds, manifest.provider, plan.kernels.drafter)
    sources = ModelSources(graph=padded, index_map=bundle.index_map, rows=_conversation_head(bundle))
    return BundleDrafter(sources=sources, graph=graph)


def _conversation_head(bundle: Bundle) -> ConversationHead | None:
    """Open the drafter's full head; None where the plan uses none of its rows."""
    entry, limit = bundle.manifest.head_rows, bundle.manifest.plan.conversation_rows
    if entry is None or limit == 0:
        return None
    head = open_head_rows(bundle.path / entry.file, entry)
    return ConversationHead(head=head, listed=bundle.index_map, limit=limit)


def check_widths(bundle: Bundle, target: OnnxGraph, drafter: BundleDrafter) -> None:
    """Refuse graphs whose logits, features or recurrent states are not as large as the manifest says."""
    manifest = bundle.manifest
    _check(bundle.target_graph, "logits", target.vocab_size, manifest.target_vocab_size)
    _check(bundle.drafter_graph, "logits", drafter.graph.vocab_size, manifest.plan.draft_vocab_size)
    _check(bundle.target_graph, "recurrent states", target.state_bytes, manifest.target.state_bytes, "bytes large")
    _check(
        bundle.drafter_graph, "recurrent states", drafter.graph.state_bytes, manifest.drafter.state_bytes, "bytes large"
    )
    if manifest.head_rows is not None:
        _check(bundle.drafter_graph, "features", drafter.graph.feature_width, manifest.head_rows.width)
    if manifest.layer is not None:
        _check(bundle.target_graph, "features", target.feature_width, manifest.layer.feature_width)


def _check(graph: Path, what: str, size: int, promised: int, unit: str = "wide") -> None:
    require(size == promised, f"{graph}: {what} must be {promised} {unit}", got=size, remedy="export the bundle again")
