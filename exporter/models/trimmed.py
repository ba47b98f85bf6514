"""A drafter at any draft vocabulary size: opened without copying its body, written in both layouts, or whole."""

from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from edgedraft.exporter.graph.head import expand_logits, trim_head
from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.needs import GraphNeeds, graph_needs, require_bindable
from edgedraft.exporter.graph.preparing import prepare
from edgedraft.exporter.graph.providers import CPU, DRAFTER, PROVIDERS, Provider, provider_named
from edgedraft.exporter.models.convert import GRAPH_NAME
from edgedraft.exporter.models.pair import Pair
from edgedraft.runtime.base.errors import unwritable_is_users
from edgedraft.runtime.base.siblings import temporary_file
from edgedraft.runtime.bundle.index_map_file import write_index_map
from edgedraft.runtime.bundle.manifest import BundleManifest
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.session import OnnxGraph

REDUCED_NAME, DATA_NAME, EXPANDED_NAME = "model.onnx", "model.onnx.data", "expanded.onnx"
INDEX_MAP_NAME = "index_map.safetensors"

_TRIMMED = ".trimmed"


def open_trimmed(pair: Pair, kept: IndexMap) -> OnnxModel:
    """Open the pair's drafter, trimmed to ``kept``, with a memory of its own."""
    return trimmed_graph(pair, kept).new_model()


def trimmed_graph(pair: Pair, kept: IndexMap) -> OnnxGraph:
    """Load the pair's drafter, trimmed to ``kept``.

    The trimmed graph holds the new head and reads the rest from the full drafter's data file, so it must lie beside
    that file while it is opened; it is deleted afterwards.
    """
    model = load_graph(pair.drafter.graph)
    trim_head(model, kept)
    wanted = pair.drafter.path / f"trimmed-{kept.draft_vocab_size}.onnx"
    with unwritable_is_users(wanted), temporary_file(wanted) as graph:
        ir.save(model, graph)
        return OnnxGraph(graph, pair.settings)


def write_trimmed(
    model: ir.Model, rows: IndexMap, kept: IndexMap, folder: Path, provider: Provider = PROVIDERS[CPU]
) -> None:
    """Trim ``model`` to ``rows`` of its own logits, in place, and write both layouts over one data file, and the map.

    ``kept`` maps the rows that stay to the target's ids; it is ``rows`` itself unless the model was trimmed before.
    Raises `EdgedraftError` before anything is written if ``provider`` cannot hold a weight.
    """
    trim_for(model, rows, provider)
    save_graph(model, folder / REDUCED_NAME, DATA_NAME, provider.data_file_bytes)
    expanded = load_graph(folder / REDUCED_NAME)
    expand_logits(expanded, kept)
    ir.save(expanded, folder / EXPANDED_NAME)
    write_index_map(folder / INDEX_MAP_NAME, kept)


def trim_for(model: ir.Model, rows: IndexMap, provider: Provider) -> None:
    """Trim and prepare ``model``, in place; refuse it if ``provider`` cannot hold a weight of the result."""
    prepare(model, provider)
    trim_head(model, rows)
    _forget_earlier_trims(model)
    require_bindable(model, DRAFTER, provider)


def _forget_earlier_trims(model: ir.Model) -> None:
    """Name a weight that was trimmed twice like one trimmed once, so that both ways to a size give equal files."""
    for value in list(model.graph.initializers.values()):
        name = str(value.name)
        while name.endswith(2 * _TRIMMED) and name.removesuffix(_TRIMMED) not in model.graph.initializers:
            name = name.removesuffix(_TRIMMED)
        if name != value.name:
            value.name = name


@dataclass(frozen=True, kw_only=True, slots=True)
class FullGraph:
    """A graph, its needs, and the folder with the data files that ``needs`` names."""

    graph: Path
    needs: GraphNeeds
    data_folder: Path


def full_graph(manifest: BundleManifest, onnx_cache: Path, folder: Path) -> FullGraph | None:
    """Write the bundle's drafter before trimming, its graph alone, to ``folder``; the data files stay in the cache.

    The same drafter gives the same bytes. Returns None if the conversion is not in ``onnx_cache`` or has a data file
    too large for the bundle's provider.
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
