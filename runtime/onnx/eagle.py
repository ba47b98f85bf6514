"""Run EAGLE drafters on onnxruntime: a decoder layer that reads states and tokens, with a key/value cache."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgedraft.runtime.base.arrays import Float32Array, Logits
from edgedraft.runtime.base.provider_names import CPU
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.kernel_choice import setting_or_auto
from edgedraft.runtime.onnx.memory import PassBuffers, bind_pass
from edgedraft.runtime.onnx.session import OnnxGraph, PlainGraph, SessionSettings
from edgedraft.runtime.onnx.signature import NEXT_STATES, STATES


class EagleGraph:
    """The loaded graphs of an EAGLE drafter: the layer's and, for EAGLE-3, the one that fuses the target's features."""

    def __init__(self, step: Path, fusing: Path | None, settings: SessionSettings) -> None:
        rule = f"{step}: a drafter that reads the target's states runs on the cpu"
        require(settings.provider == CPU, rule, got=settings.provider)
        self.step = OnnxGraph(step, replace(settings, exact=False), layer=True)
        require(self.step.shared, f"{step}: expected keys and values that are written in place")
        self._fusing = Fusing(fusing, settings)

    def new_layer(self) -> "EagleLayer":
        """Return a layer with an empty key/value cache."""
        return EagleLayer(self)

    def fuse(self, features: Float32Array) -> Float32Array:
        """Return the layer's states for the target's ``features``: (rows, width) to (rows, hidden)."""
        return self._fusing.states(features)


class Fusing:
    """Computes an EAGLE-3 layer's states from the target's features; EAGLE-1 and 2 have no graph for it."""

    def __init__(self, graph: Path | None, settings: SessionSettings) -> None:
        self._graph = None
        if graph is not None:
            # Its products may be of another kind than the step's, whose kernels were asked for.
            kernels = setting_or_auto(graph, settings.provider, settings.kernels)
            self._graph = PlainGraph(graph, replace(settings, kernels=kernels))

    def states(self, features: Float32Array) -> Float32Array:
        """Return the layer's states, (rows, hidden), for ``features`` (rows, width)."""
        if self._graph is None:
            return features
        fused = self._graph.bind(np.ascontiguousarray(features[None]))
        fused.run()
        states: Float32Array = fused.output()[0]
        return states


class EagleLayer:
    """A drafter's layer with its own key/value cache; the first ``length`` rows are valid."""

    def __init__(self, graph: EagleGraph) -> None:
        self._graph, self._step = graph, graph.step
        self._cache = self._step.new_cache()
        self.length, self.context_length = 0, self._cache.context_length
        self._mask = np.ones((1, self.context_length), dtype=np.int64)
        self._places = np.arange(self.context_length, dtype=np.int64)[None]
        self._logits = np.empty((1, self._step.vocab_size), dtype=np.float32)

    def fuse(self, features: Float32Array) -> Float32Array:
        """See `EagleGraph.fuse`."""
        return self._graph.fuse(features)

    def read(self, token_ids: Sequence[int], states: Float32Array) -> tuple[Logits, Float32Array]:
        """Append rows of one token and one state each, ``states`` (rows, hidden).

        Return the last row's logits (vocab,), which the next call overwrites, and its state (1, hidden), which the next
        row reads.
        """
        rows, start, end = len(token_ids), self.length, self.length + len(token_ids)
        ids = np.array([token_ids], dtype=np.int64)
        states, after = np.ascontiguousarray(states), np.empty((rows, self._step.feature_width), dtype=np.float32)
        binding = self._cache.bound(start, end)
        places, mask = self._places[:, start:end], self._mask[:, :end]
        bind_pass(binding, self._step.feeds, PassBuffers(ids=ids, mask=mask, positions=places, logits=self._logits))
        binding.bind_input(STATES, "cpu", 0, states.dtype, (1, *states.shape), states.ctypes.data)
        binding.bind_output(NEXT_STATES, "cpu", 0, after.dtype, (1, *after.shape), after.ctypes.data)
        self._step.session.run_with_iobinding(binding)
        self._cache.written(end)
        self.length = end
        return self._logits[0], after[-1:]

    def rewind(self, length: int) -> None:
        """Forget all rows after the first ``length``."""
        self.length = min(self.length, length)
