"""Passes of an EAGLE layer to be timed: further drafts, which read its own states, and first passes of a round."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgedraft.devices.fitting import TYPICAL_PRODUCTS
from edgedraft.devices.latency import StepModel
from edgedraft.devices.steps import READING, StepCase, StepTime
from edgedraft.exporter.graph.loading import ModelSize, load_graph, model_size
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.planning.scoring import ReadingCost
from edgedraft.runtime.base.arrays import Float32Array, Logits
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.onnx.eagle import EagleLayer

READING_ROWS = (1, 4)
"""Rows of the first passes that are timed: after no accepted draft, and after three."""

LAYER_PRODUCTS = 6
"""Matrix products of a layer's step: 5 and the head."""


class LayerPasses:
    """A layer as a model that reads tokens; the states that it reads beside them are noise, which costs the same.

    With ``reading`` they are the target's, which EAGLE-3 fuses first, else the layer's own.
    """

    def __init__(self, layer: EagleLayer, width: int, *, reading: bool) -> None:
        self._layer, self._width, self._reading = layer, width, reading
        self._noise: Float32Array = np.empty((0, width), dtype=np.float32)
        self.token_ids: list[int] = []

    @property
    def length(self) -> int:
        """Return how many rows the layer holds."""
        return len(self.token_ids)

    @property
    def context_length(self) -> int:
        """Return how many rows the layer can hold."""
        return self._layer.context_length

    def read(self, token_ids: Sequence[int]) -> Pass:
        """Read a row for each token."""
        if len(self._noise) < len(token_ids):
            shape = (len(token_ids), self._width)
            self._noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        states = self._noise[: len(token_ids)]
        logits: Logits = self._layer.read(token_ids, self._layer.fuse(states) if self._reading else states)[0][None]
        self.token_ids += token_ids
        return Pass(logits=logits)

    def rewind(self, length: int) -> None:
        """Forget all rows after the first ``length``."""
        del self.token_ids[length:]
        self._layer.rewind(length)


def own_passes(pair: EaglePair, layer: EagleLayer) -> LayerPasses:
    """Return the passes of further drafts."""
    return LayerPasses(layer, pair.drafter.layout.hidden, reading=False)


def reading_passes(pair: EaglePair, layer: EagleLayer) -> LayerPasses:
    """Return the first passes of rounds."""
    return LayerPasses(layer, pair.drafter.layout.feature_width, reading=True)


def reading_cases(case: StepCase, name: str) -> list[StepCase]:
    """Return the first passes to time, of the model ``name`` with the weights of ``case``."""
    return [replace(case, model=name, role=READING, rows=rows) for rows in READING_ROWS]


def forecast_layer(pair: EaglePair, decoder: StepModel) -> tuple[StepModel, ReadingCost]:
    """Return a layer's step model and reading cost on a device of which passes of whole decoders are known.

    A decoder's overhead is that of `TYPICAL_PRODUCTS`; a layer has its share of it. One more row costs the layer's body
    what it costs a decoder; the head scores the last row alone.
    """
    share = LAYER_PRODUCTS / TYPICAL_PRODUCTS
    layer = replace(decoder, overhead_seconds=decoder.overhead_seconds * share)
    states = fusing_size(pair).weight_bytes * layer.seconds_per_byte
    body = layer.seconds(pair.trimmed_size(0).weight_bytes, 2) - layer.seconds(pair.trimmed_size(0).weight_bytes, 1)
    more = (decoder.verification_cost(2) - 1) * states
    return layer, ReadingCost(seconds=states, row_seconds=max(body, 0.0) + max(more, 0.0))


def fusing_size(pair: EaglePair) -> ModelSize:
    """Return the weights of the graph that fuses the target's states, which only EAGLE-3 has."""
    graph = pair.drafter.fusing
    return ModelSize(parameters=0, weight_bytes=0) if graph is None else model_size(load_graph(graph))


def reading_cost(steps: Sequence[StepTime]) -> ReadingCost:
    """Return what reading the target's states costs, from the steps of one layer; noise may not make it negative.

    The same head is in both kinds of pass, so that the difference is that of the rows and the states.
    """
    firsts = {step.rows: step for step in steps if step.role == READING}
    one, more = (firsts[rows] for rows in READING_ROWS)
    alike = [step for step in steps if step.role != READING and step.weight_bytes == one.weight_bytes]
    own = next(step.seconds for step in alike if step.rows == 1)
    return ReadingCost(
        seconds=max(one.seconds - own, 0.0),
        row_seconds=max(more.seconds - one.seconds, 0.0) / (more.rows - one.rows),
    )
