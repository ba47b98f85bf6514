"""Add the target's hidden states as an output, for a drafter that reads them."""

from collections.abc import Sequence

import onnx_ir as ir

from edgedraft.exporter.graph.eagle.checkpoint import EAGLE3, MTP, EagleLayout, TargetShape
from edgedraft.exporter.graph.head import head_row_size
from edgedraft.exporter.graph.loading import LOGITS, output_named, vocabulary_width
from edgedraft.exporter.graph.stream import ResidualStream
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.signature import FEATURES

_FLOAT = ir.DataType.FLOAT


def target_shape(model: ir.Model) -> TargetShape:
    """Return what a drafter must fit, read from the target's graph."""
    layers = ResidualStream(model).layers
    return TargetShape(hidden=head_row_size(model).parameters, layers=layers, vocab_size=vocabulary_width(model))


def tap_target(model: ir.Model, layout: EagleLayout) -> None:
    """Add the output ``features``, which a drafter of ``layout`` reads, to ``model`` in place.

    Its shape is (batch, tokens, layout.feature_width), float32: the states that enter the tapped layers, concatenated,
    or the state after the final norm, or before it. Nothing else changes, and a pass that does not fetch the output
    costs the same.
    """
    stream, hidden = ResidualStream(model), head_row_size(model).parameters
    require(hidden == layout.target_hidden, f"taps: expected states of {layout.target_hidden}", got=hidden)
    add_features(model, _read_by(layout, stream), layout.feature_width)


def tap_for_training(model: ir.Model, layers: Sequence[int]) -> None:
    """Add the output ``features`` that a drafter is trained on: what `tap_target` adds for EAGLE-3 and EAGLE-1 and 2.

    Its shape is (batch, tokens, (len(layers) + 1) · hidden), float32: the states that enter ``layers``, then the state
    after the final norm.
    """
    stream = ResidualStream(model)
    states = [*_entering(stream, layers), stream.final]
    add_features(model, states, len(states) * head_row_size(model).parameters)


def add_features(model: ir.Model, states: Sequence[ir.Value], width: int) -> None:
    """Add the output ``features`` to ``model``, in place: the states joined, (batch, tokens, width), as float32."""
    require(all(value.name != FEATURES for value in model.graph.outputs), f"graph output {FEATURES}: already there")
    features = _joined(model.graph, [_as_float(model.graph, state) for state in states])
    features.name, features.dtype = FEATURES, _FLOAT
    logits = output_named(model, LOGITS).shape
    assert logits is not None
    features.shape = ir.Shape([*logits.dims[:-1], width])
    model.graph.outputs.append(features)


def _read_by(layout: EagleLayout, stream: ResidualStream) -> list[ir.Value]:
    if layout.kind == MTP and layout.tapped_layers == (stream.layers,):
        return [stream.leaving]
    final = layout.kind != EAGLE3 and not layout.tapped_layers
    return [stream.final] if final else _entering(stream, layout.tapped_layers)


def _entering(stream: ResidualStream, layers: Sequence[int] | None) -> list[ir.Value]:
    require(layers is not None, "taps: the tapped layers depend on the target, and were not settled")
    inside = all(0 <= layer < stream.layers for layer in layers or ())
    require(inside, f"taps: layers must lie in 0..{stream.layers - 1}", got=layers)
    return [stream.entering(layer) for layer in layers or ()]


def _as_float(graph: ir.Graph, state: ir.Value) -> ir.Value:
    """Return a float32 copy of the state, which can take the output's name."""
    if state.dtype == _FLOAT:
        return _appended(graph, "Identity", [state])
    return _appended(graph, "Cast", [state], to=int(_FLOAT))


def _joined(graph: ir.Graph, states: list[ir.Value]) -> ir.Value:
    return states[0] if len(states) == 1 else _appended(graph, "Concat", states, axis=-1)


def _appended(graph: ir.Graph, kind: str, inputs: list[ir.Value], **attributes: int) -> ir.Value:
    made = ir.node(kind, inputs, attributes)
    graph.append(made)
    return made.outputs[0]
