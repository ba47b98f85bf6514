"""Open the drafter of a bundle, of whatever kind, as a factory of token sources."""

from dataclasses import dataclass

from edgedraft.runtime.bundle.manifest import BundleManifest
from edgedraft.runtime.bundle.reading import Bundle
from edgedraft.runtime.core.sources import ModelSources, SourceFactory
from edgedraft.runtime.onnx.eagle import EagleGraph
from edgedraft.runtime.onnx.eagle_source import EagleSources
from edgedraft.runtime.onnx.planned_kernels import as_planned, padded_graph
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BundleDrafter:
    """A drafter, loaded: its sources, the graph that scores tokens, and the target's features that it needs."""

    sources: SourceFactory
    graph: OnnxGraph
    feature_width: int = 0


def open_drafter(bundle: Bundle, settings: SessionSettings) -> BundleDrafter:
    """Load the drafter of ``bundle``, with the kernels that its plan names."""
    manifest, path = bundle.manifest, bundle.drafter_graph
    planned = as_planned(settings, path, manifest.plan.kernels.drafter)
    if manifest.layer is None:
        return _model(bundle, manifest, OnnxGraph(path, planned))
    layer = EagleGraph(path, bundle.fusing_graph, planned)
    return BundleDrafter(
        sources=EagleSources(graph=layer, index_map=bundle.index_map),
        graph=layer.step,
        feature_width=manifest.layer.feature_width,
    )


def _model(bundle: Bundle, manifest: BundleManifest, graph: OnnxGraph) -> BundleDrafter:
    plan = manifest.plan
    padded = padded_graph(graph, plan.drafter_pass_seconds, manifest.provider, plan.kernels.drafter)
    return BundleDrafter(sources=ModelSources(graph=padded, index_map=bundle.index_map), graph=graph)
