"""The parts of a bundle whose drafter is a layer on the target: the tapped target, the layer's graphs, its entry."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from edgedraft.exporter.graph.eagle.storing import DataFile, SharedFiles, save_shared, share
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.graph.needs import graph_needs
from edgedraft.exporter.graph.providers import CPU, DRAFTER, TARGET, Provider
from edgedraft.exporter.models.convert import GRAPH_NAME
from edgedraft.exporter.models.eagle.converting import FUSING_NAME, locations
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.manifest import LayerEntry
from edgedraft.runtime.core.index_map import IndexMap

STEP_GRAPH = f"{DRAFTER}.onnx"
"""At the top of the bundle: ONNX Runtime reads a graph's data from its own folder and those below it alone, and this
graph reads data of both models."""
FUSING_GRAPH = f"{DRAFTER}/{FUSING_NAME}"
STEP_DATA = f"{DRAFTER}/{GRAPH_NAME}.data"


def require_cpu(provider: Provider) -> None:
    """Refuse other providers than the CPU, before any long work."""
    rule = "provider: a drafter that reads the target's states runs on the cpu"
    require(provider.name == CPU, rule, got=provider.name, remedy="leave out --provider, or give another drafter")


def write_tapped_target(pair: EaglePair, folder: Path) -> None:
    """Write the target with the output that the layer reads, and copy its data.

    Engines that do not fetch that output pay nothing for it but the joining of a few rows.
    """
    (folder / TARGET).mkdir()
    model = pair.tapped()
    for name in graph_needs(model).data:
        shutil.copyfile(pair.target.path / name, folder / TARGET / name)
    ir.save(model, folder / TARGET / GRAPH_NAME)


def write_layer(pair: EaglePair, kept: IndexMap, folder: Path) -> None:
    """Write the graphs of the layer with the rows of ``kept``, its own data, and nothing of the target's."""
    (folder / DRAFTER).mkdir()
    shared = SharedFiles(load_graph(pair.target.graph), locations(pair.target.path, TARGET))
    step = pair.trimmed(kept)
    save_step(step, share(step, shared), folder)
    for file in pair.drafter.path.glob(f"{FUSING_NAME}*"):
        shutil.copyfile(file, folder / DRAFTER / file.name)


def save_step(step: ir.Model, own: Sequence[ir.Value], folder: Path) -> None:
    """Write the shared graph of one step to the top of the bundle ``folder``, and its ``own`` constants below."""
    save_shared(step, own, folder / STEP_GRAPH, DataFile(path=folder / STEP_DATA, location=STEP_DATA))


def layer_entry(pair: EaglePair) -> LayerEntry:
    """Return what the manifest says about the layer."""
    layout = pair.drafter.layout
    return LayerEntry(
        tapped_layers=layout.tapped_layers or (),
        feature_width=layout.feature_width,
        fusing=None if pair.drafter.fusing is None else FUSING_GRAPH,
        borrowed=pair.drafter.borrowed,
        copied_bytes=pair.drafter.copied_bytes,
    )


def layer_graphs(entry: LayerEntry) -> tuple[str, ...]:
    """Return the names of the layer's graphs in a bundle."""
    return (STEP_GRAPH,) if entry.fusing is None else (STEP_GRAPH, entry.fusing)
