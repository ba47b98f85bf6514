"""The drafter of a bundle before its vocabulary was cut: found in the cache, its graph prepared as the bundle's are."""

from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.graph.needs import GraphNeeds, graph_needs
from edgedraft.exporter.graph.preparing import prepare
from edgedraft.exporter.graph.providers import provider_named
from edgedraft.exporter.models.convert import GRAPH_NAME
from edgedraft.runtime.bundle.manifest import BundleManifest


@dataclass(frozen=True, kw_only=True, slots=True)
class FullGraph:
    """A graph, what it needs of a device, and the folder where the data files lie that ``needs`` names."""

    graph: Path
    needs: GraphNeeds
    data_folder: Path


def full_graph(manifest: BundleManifest, onnx_cache: Path, folder: Path) -> FullGraph | None:
    """Write the graph alone to ``folder``, always the same bytes; its data files stay where they are.

    None where the conversion is not in ``onnx_cache``, or has a data file too large for the bundle's provider.
    """
    source, provider = onnx_cache / manifest.drafter.conversion, provider_named(manifest.provider)
    if not (source / GRAPH_NAME).is_file():
        return None
    model = load_graph(source / GRAPH_NAME)
    prepare(model, provider)
    needs, limit = graph_needs(model), provider.data_file_bytes
    if limit is not None and any((source / name).stat().st_size > limit for name in needs.data):
        return None
    graph = folder / GRAPH_NAME
    ir.save(model, graph)
    return FullGraph(graph=graph, needs=needs, data_folder=source)
