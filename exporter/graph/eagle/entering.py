"""Join a token's embedding with a state, as each kind of drafter does before its attention."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.eagle.attention import named
from edgedraft.exporter.graph.eagle.building import GraphBuilder
from edgedraft.exporter.graph.eagle.checkpoint import EAGLE, EAGLE3, MTP, EagleCheckpoint

_FLOAT = ir.DataType.FLOAT


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StepInputs:
    """The inputs of a draft step: token ids with their embeddings, states, and the mask of all rows so far."""

    ids: ir.Value
    embedded: ir.Value
    states: ir.Value
    mask: ir.Value


def entering(graph: GraphBuilder, inputs: StepInputs, checkpoint: EagleCheckpoint) -> tuple[ir.Value, ir.Value]:
    """Return what the attention reads, and the state that its result is added to."""
    return _BY_KIND[checkpoint.layout.kind](graph, inputs, checkpoint)


def _eagle(graph: GraphBuilder, inputs: StepInputs, checkpoint: EagleCheckpoint) -> tuple[ir.Value, ir.Value]:
    joined = _joined(graph, [inputs.embedded, inputs.states], checkpoint)
    return joined, joined


def _eagle3(graph: GraphBuilder, inputs: StepInputs, checkpoint: EagleCheckpoint) -> tuple[ir.Value, ir.Value]:
    weights = checkpoint.weights
    token = graph.norm(inputs.embedded, named("input_layernorm"), weights["input_layernorm.weight"])
    state = graph.norm(inputs.states, named("hidden_norm"), weights["hidden_norm.weight"])
    both = graph.node("Concat", [token, state], "/model/layers.0/Concat", axis=-1)
    return both, state if checkpoint.layout.residual_normed else inputs.states


def _mtp(graph: GraphBuilder, inputs: StepInputs, checkpoint: EagleCheckpoint) -> tuple[ir.Value, ir.Value]:
    layout, weights = checkpoint.layout, checkpoint.weights
    embedded = _blank_first_row(graph, inputs) if layout.first_row_blank else inputs.embedded
    token = graph.norm(embedded, "model.embedding_norm", weights["embedding_norm.weight"])
    state = graph.norm(inputs.states, "model.state_norm", weights["state_norm.weight"])
    joined = _joined(graph, [state, token] if layout.states_first else [token, state], checkpoint)
    return graph.norm(joined, named("input_layernorm"), weights["input_layernorm.weight"]), joined


_BY_KIND: dict[str, Callable[[GraphBuilder, StepInputs, EagleCheckpoint], tuple[ir.Value, ir.Value]]] = {
    EAGLE: _eagle,
    EAGLE3: _eagle3,
    MTP: _mtp,
}


def _joined(graph: GraphBuilder, parts: list[ir.Value], checkpoint: EagleCheckpoint) -> ir.Value:
    both = graph.node("Concat", parts, "/model/fc/Concat", axis=-1)
    return graph.product(both, "model.fc", checkpoint.weights["fc.weight"], checkpoint.weights.get("fc.bias"))


def _blank_first_row(graph: GraphBuilder, inputs: StepInputs) -> ir.Value:
    """Put zeros in place of the embedding in the first row of a text: that of index 0 among all rows so far."""
    where, axis = "/model/first_row", graph.constant("row_axis", np.array(1))
    rows, total = (
        graph.node("Gather", [graph.node("Shape", [value], f"{where}/{name}/Shape"), axis], f"{where}/{name}", axis=0)
        for name, value in (("rows", inputs.ids), ("total", inputs.mask))
    )
    first, one = graph.node("Sub", [total, rows], f"{where}/Sub"), graph.constant("row_step", np.array(1))
    places = graph.node("Range", [first, total, one], f"{where}/Range")
    later = graph.node("Greater", [places, graph.constant("first_place", np.array(0))], f"{where}/Greater")
    seen = graph.node("Cast", [later], f"{where}/Cast", to=int(_FLOAT))
    column = graph.node("Unsqueeze", [seen, graph.constant("last_axis", np.array([-1]))], f"{where}/Unsqueeze")
    return graph.node("Mul", [inputs.embedded, column], f"{where}/Mul")
