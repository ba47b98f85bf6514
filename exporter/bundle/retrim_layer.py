"""Another draft vocabulary for a bundle whose drafter is a layer on the target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from edgedraft.exporter.bundle.layer import save_step
from edgedraft.exporter.graph.eagle.storing import SharedFiles, share
from edgedraft.exporter.graph.eagle.whole_head import put_whole_head
from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.loading import load_graph, model_size
from edgedraft.exporter.graph.needs import graph_needs
from edgedraft.exporter.graph.precisions import precision_named
from edgedraft.exporter.graph.providers import DRAFTER, TARGET
from edgedraft.exporter.models.eagle.converting import head_map, load_step, locations
from edgedraft.exporter.models.eagle.pair import rows_of
from edgedraft.exporter.models.sums import is_whole
from edgedraft.exporter.models.trimmed import INDEX_MAP_NAME
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.index_map_file import write_index_map
from edgedraft.runtime.bundle.manifest import HEAD, BundleManifest, ModelEntry
from edgedraft.runtime.bundle.reading import Bundle
from edgedraft.runtime.core.index_map import IndexMap


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ResizedStep:
    """The graph of one step, which reads from the target's files what stands there, and its ``own`` constants."""

    model: ir.Model
    own: Sequence[ir.Value]


def resized_step(bundle: Bundle, kept: IndexMap, onnx_cache: Path) -> ResizedStep:
    """Return the graph of one step with the rows of ``kept`` alone, all their bits unchanged.

    Fewer tokens are cut from the bundle's own graph. More rows of a borrowed head come from the bundle's target, those
    of an own head from the converted layer in ``onnx_cache``.
    """
    step, head, target = load_graph(bundle.drafter_graph), bundle.index_map, load_graph(bundle.target_graph)
    layer = bundle.manifest.layer
    assert layer is not None
    if kept.draft_vocab_size > head.draft_vocab_size and HEAD in layer.borrowed:
        put_whole_head(step, target, precision_named(bundle.manifest.drafter.precision))
        head = IndexMap.identity(kept.target_vocab_size)
    elif kept.draft_vocab_size > head.draft_vocab_size:
        step, head = _converted(bundle, kept.draft_vocab_size, onnx_cache)
    rows = rows_of(kept, head)
    most, remedy = head.draft_vocab_size, "choose a smaller size"
    rule = f"{bundle.path}: the drafter's own head scores {most:,} tokens"
    require(rows.draft_vocab_size == kept.draft_vocab_size, rule, got=f"{kept.draft_vocab_size:,}", remedy=remedy)
    if kept.draft_vocab_size < most:
        trim_head(step, rows)
    return ResizedStep(model=step, own=share(step, SharedFiles(target, locations(bundle.path / TARGET, TARGET))))


def write_resized_layer(
    bundle: Bundle, step: ResizedStep, kept: IndexMap, folder: Path, copy: Callable[[Path, Path], object]
) -> ModelEntry:
    """Write the graph of one step with its map and own data to the new bundle ``folder``; return the drafter's entry.

    The files of the fusing graph do not change: ``copy`` puts them there.
    """
    was = bundle.manifest.drafter
    (folder / DRAFTER).mkdir()
    save_step(step.model, step.own, folder)
    write_index_map(folder / DRAFTER / INDEX_MAP_NAME, kept)
    fusing = fusing_files(bundle.manifest)
    for name in fusing:
        copy(bundle.path.resolve() / name, folder / name)
    needs, size = graph_needs(step.model), model_size(step.model)
    return replace(
        was,
        parameters=size.parameters,
        weight_bytes=size.weight_bytes,
        data=tuple(sorted({*needs.data, *(name for name in was.data if name in fusing)})),
        largest_tensor_bytes=needs.largest_tensor_bytes,
        half=was.half or needs.half,
        operators=tuple(sorted({*was.operators, *needs.operators})),
    )


def fusing_files(manifest: BundleManifest) -> tuple[str, ...]:
    """Return the graph that fuses the target's states and its data."""
    layer = manifest.layer
    if layer is None or layer.fusing is None:
        return ()
    return tuple(name for name in manifest.files if name.startswith(layer.fusing))


def _converted(bundle: Bundle, size: int, onnx_cache: Path) -> tuple[ir.Model, IndexMap]:
    """Load the layer with its whole own head."""
    folder = onnx_cache / bundle.manifest.drafter.conversion
    rule = f"{bundle.path}: its drafter holds {bundle.index_map.draft_vocab_size:,} tokens, and the whole one is not"
    remedy = "choose a smaller size, name the cache that holds it, or export the bundle again"
    require(is_whole(folder), f"{rule} at {folder}", got=f"{size:,}", remedy=remedy)
    return load_step(folder), head_map(folder, bundle.manifest.target_vocab_size)
