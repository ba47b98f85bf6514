"""A drafter at any draft vocabulary size: opened without copying its body, written in both layouts, or whole."""

from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from edgedraft.exporter.graph.head import expand_logits, trim_head
from edgedraft.exporter.graph.head_rows import head_entry, head_tensors, tap_head, untap
from edgedraft.exporter.graph.loading import load_graph, save_graph, vocabulary_width
from edgedraft.exporter.graph.needs import GraphNeeds, graph_needs, require_bindable
from edgedraft.exporter.graph.preparing import prepare
from edgedraft.exporter.graph.providers import CPU, DRAFTER, PROVIDERS, Provider, provider_named
from edgedraft.exporter.graph.widths import head_rows, limit_token_ids
from edgedraft.exporter.models.convert import GRAPH_NAME
from edgedraft.exporter.models.fitting import open_cut
from edgedraft.exporter.models.pair import Pair
from edgedraft.runtime.base.tensors import write_tensors
from edgedraft.runtime.bundle.index_map_file import write_index_map
from edgedraft.runtime.bundle.manifest import BundleManifest
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.session import OnnxGraph

REDUCED_NAME, DATA_NAME, EXPANDED_NAME = "model.onnx", "model.onnx.data", "expanded.onnx"
INDEX_MAP_NAME, HEAD_ROWS_NAME = "index_map.safetensors", "head_rows.safetensors"

_TRIMMED = ".trimmed"


def open_trimmed(pair: Pair, kept: IndexMap) -> OnnxModel:
    """Open the pair's drafter, trimmed to ``kept``, with a memory of its own."""
    return trimmed_graph(pair, kept).new_model()


def trimmed_graph(pair: Pair, kept: IndexMap) -> OnnxGraph:
    """Load the pair's drafter, trimmed to ``kept``."""
    return open_cut(pair.drafter.graph, kept, pair.settings)


def write_trimmed(
    model: ir.Model, rows: IndexMap, kept: IndexMap, folder: Path, provider: Provider = PROVIDERS[CPU]
) -> None:
    """Trim ``model`` to ``rows`` of its own logits, in place, and write both layouts over one data file, and the map.

    ``kept`` maps the rows that stay to the target's ids; it is ``rows`` itself unless the model was trimmed before, or
    is wider or narrower than the target. Raises `EdgedraftError` before anything is written if ``provider`` cannot hold
    a weight.
    """
    trim_for(model, rows, provider)
    save_graph(model, folder / REDUCED_NAME, DATA_NAME, provider.data_file_bytes)
    expanded = load_graph(folder / REDUCED_NAME)
    untap(expanded)
    expand_logits(expanded, kept)
    ir.save(expanded, folder / EXPANDED_NAME)
    write_index_map(folder / INDEX_MAP_NAME, kept)


def write_first_trim(
    model: ir.Model, kept: IndexMap, folder: Path, provider: Provider = PROVIDERS[CPU], *, keep_head: bool = False
) -> None:
    """Trim a full drafter to the target's tokens in ``kept``, in place, and write it as `write_trimmed` does.

    With ``keep_head`` its full head is kept in a file beside it, and its graph gives what the head reads.
    """
    width = vocabulary_width(model)
    rows = head_rows(kept, width)
    prepare(model, provider)
    if keep_head:
        entry = head_entry(model, HEAD_ROWS_NAME)
        write_tensors(folder / HEAD_ROWS_NAME, head_tensors(model, entry))
        tap_head(model)
    limit_token_ids(model, width, kept.target_vocab_size)
    write_trimmed(model, rows, kept, folder, provider)


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

    The same drafter gives the same bytes. Returns None if the conversion is not in ``onnx_cache``, has a data file too
    large for the bundle's provider, or is wider or narrower than the target.
    """
    source, provider = onnx_cache / manifest.drafter.conversion, provider_named(manifest.provider)
    if not (source / GRAPH_NAME).is_file():
        return None
    model = load_graph(source / GRAPH_NAME)
    prepare(model, provider)
    needs, limit = graph_needs(model), provider.data_file_bytes
    other_width = vocabulary_width(model) != manifest.target_vocab_size
    if other_width or (limit is not None and any((source / name).stat().st_size > limit for name in needs.data)):
        return None
    graph = folder / GRAPH_NAME
    ir.save(model, graph)
    return FullGraph(graph=graph, needs=needs, data_folder=source)
