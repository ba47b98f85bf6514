"""From the checkpoint of a layer to its graphs, made for one conversion of its target and cached beside it."""

from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from edgedraft.exporter.graph.eagle.assembling import assemble
from edgedraft.exporter.graph.eagle.checkpoint import EagleCheckpoint, EagleLayout
from edgedraft.exporter.graph.eagle.storing import DataFile, SharedFiles, save_shared, share, table_bytes_outside
from edgedraft.exporter.graph.external import check_external
from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.needs import graph_needs
from edgedraft.exporter.graph.precisions import precision_named
from edgedraft.exporter.graph.taps import target_shape
from edgedraft.exporter.models.convert import GRAPH_NAME, OnnxFolder, context_length
from edgedraft.exporter.models.eagle.fitting import description, fitted
from edgedraft.exporter.models.layers import read_layer
from edgedraft.exporter.models.processes import ProcessCost
from edgedraft.exporter.models.sources import ModelSource
from edgedraft.exporter.models.sums import is_whole, write_sums
from edgedraft.runtime.base.kept import short_sum
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.replacing import replacing_folder
from edgedraft.runtime.bundle.index_map_file import read_index_map, write_index_map
from edgedraft.runtime.bundle.manifest import HEAD, TABLE
from edgedraft.runtime.core.index_map import IndexMap

STEP_NAME, FUSING_NAME, HEAD_MAP_NAME = "step.onnx", "fusing.onnx", "head_map.safetensors"

_ASSEMBLING = 1
"""Raise this when a layer's graphs get other numbers: those in caches are then made again."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LayerFolder:
    """A converted layer: ``step.onnx`` and perhaps ``fusing.onnx``, with the data that is the layer's own.

    ``step.onnx`` names its data files from the folder above, where ``target``, the conversion of its target, lies too:
    the tensors that it borrows stay there. `load` reads it. ``index_map``: the target's token of each row of its head.
    ``borrowed``: `TABLE`, `HEAD`. ``copied_bytes``: of a borrowed token embedding that could not be shared.
    """

    path: Path
    source: ModelSource
    target: OnnxFolder
    precision: str
    layout: EagleLayout
    index_map: IndexMap
    borrowed: tuple[str, ...]
    context_length: int
    remarks: tuple[str, ...]
    copied_bytes: int = 0
    costs: tuple[ProcessCost, ...] = ()

    @property
    def key(self) -> str:
        """Return the name of this exact conversion."""
        return self.path.name

    @property
    def fusing(self) -> Path | None:
        """Return the graph that fuses the target's states; None where the layer reads the target's state itself."""
        file = self.path / FUSING_NAME
        return file if file.is_file() else None

    @property
    def file_bytes(self) -> int:
        """Return the bytes of the layer's own files."""
        return sum(file.stat().st_size for file in self.path.glob("*.onnx*"))

    def load(self) -> ir.Model:
        """Return the graph of one step, with every row of its head."""
        return load_step(self.path)


def load_step(folder: Path) -> ir.Model:
    """Load the graph of a converted layer in ``folder``; the tensors that it borrows lie beside the folder."""
    model = ir.load(folder / STEP_NAME)
    ir.external_data.set_base_dir(model.graph, folder.parent)
    check_external(model, folder.with_name(STEP_NAME))
    return model


def head_map(folder: Path, vocab_size: int) -> IndexMap:
    """Return the target's token of each row of the whole head of the converted layer in ``folder``."""
    return read_index_map(folder / HEAD_MAP_NAME, vocab_size)


def convert_layer(source: ModelSource, target: OnnxFolder, precision: str, progress: Progress = silent) -> LayerFolder:
    """Return the layer's graphs for ``target``, made on the first call, beside the target's conversion.

    Raises `EdgedraftError` where the checkpoint is incomplete or was made for another target.
    """
    what = f"building {source.name} {precision}"
    progress(what, 0, 1)
    whole = load_graph(target.graph)
    checkpoint = fitted(read_layer(source), target_shape(whole))
    longest = min(checkpoint.layout.context_length, context_length(target.path))
    facts = [source.identity, target.key, precision, longest, _ASSEMBLING]
    path = target.path.parent / f"{source.name}-{precision}-{short_sum(facts)}"
    if not is_whole(path):
        with replacing_folder(path) as temporary:
            _make(checkpoint, whole, target, precision, longest, temporary, path.name)
            write_sums(temporary)
    progress(what, 1, 1)
    outside = table_bytes_outside(load_step(path), locations(target.path, target.key).values())
    own_head, own_table = checkpoint.own_head, checkpoint.own_embedding
    remarks = [description(checkpoint)]
    if outside and not own_table:
        remarks.append(f"{source.name}: {outside / 1e6:,.0f} MB of the target's token embedding had to be stored twice")
    return LayerFolder(
        path=path,
        source=source,
        target=target,
        precision=precision,
        layout=checkpoint.layout,
        index_map=head_map(path, checkpoint.layout.vocab_size),
        borrowed=(TABLE,) * (not own_table) + (HEAD,) * (not own_head),
        context_length=longest,
        remarks=tuple(remarks),
        copied_bytes=0 if own_table else outside,
    )


def _make(
    checkpoint: EagleCheckpoint,
    whole: ir.Model,
    target: OnnxFolder,
    precision: str,
    longest: int,
    folder: Path,
    name: str,
) -> None:
    """Write the graphs of a layer to ``folder``, which will be called ``name``."""
    made = assemble(checkpoint, whole, precision_named(precision), longest)
    data = f"{GRAPH_NAME}.data"
    own = DataFile(path=folder / data, location=f"{name}/{data}")
    parts = share(made.step, SharedFiles(whole, locations(target.path, target.key)))
    save_shared(made.step, parts, folder / STEP_NAME, own)
    write_index_map(folder / HEAD_MAP_NAME, made.index_map)
    if made.fusing is not None:
        save_graph(made.fusing, folder / FUSING_NAME, f"{FUSING_NAME}.data")


def locations(folder: Path, location: str) -> dict[Path, str]:
    """Return the data files of the target in ``folder``, with the location of each below ``location``."""
    names = graph_needs(load_graph(folder / GRAPH_NAME)).data
    return {(folder / name).resolve(): f"{location}/{name}" for name in names}
