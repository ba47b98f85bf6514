"""Facts about a model for the bundle's manifest: its source, its size, and what its graphs need of a device."""

from pathlib import Path
from typing import TypedDict

from edgedraft.exporter.graph.loading import ModelSize, load_graph, state_bytes
from edgedraft.exporter.graph.needs import graph_needs
from edgedraft.exporter.models.convert import OnnxFolder
from edgedraft.exporter.models.eagle.converting import LayerFolder
from edgedraft.runtime.bundle.manifest import ModelEntry


class GraphFacts(TypedDict):
    """The fields of `ModelEntry` that follow from the graphs themselves; ``data`` by their names in the bundle."""

    data: tuple[str, ...]
    largest_tensor_bytes: int
    half: bool
    operators: tuple[str, ...]
    state_bytes: int


def graph_facts(folder: Path, *names: str) -> GraphFacts:
    """Read from a model's graphs in the bundle ``folder`` what its `ModelEntry` says a device must provide."""
    data: set[str] = set()
    operators: set[str] = set()
    largest, half, states = 0, False, 0
    for name in names:
        model = load_graph(folder / name)
        needs = graph_needs(model)
        states = max(states, state_bytes(model))
        data |= {((folder / name).parent / file).relative_to(folder).as_posix() for file in needs.data}
        operators |= set(needs.operators)
        largest, half = max(largest, needs.largest_tensor_bytes), half or needs.half
    return {
        "data": tuple(sorted(data)),
        "largest_tensor_bytes": largest,
        "half": half,
        "operators": tuple(sorted(operators)),
        "state_bytes": states,
    }


def model_entry(model: OnnxFolder | LayerFolder, graph: str, size: ModelSize, facts: GraphFacts) -> ModelEntry:
    """Return the entry of a converted model whose graph is called ``graph`` in the bundle."""
    return ModelEntry(
        name=model.source.name,
        base_model=model.source.base_model,
        license=model.source.license,
        graph=graph,
        precision=model.precision,
        parameters=size.parameters,
        weight_bytes=size.weight_bytes,
        conversion=model.key,
        **facts,
    )
