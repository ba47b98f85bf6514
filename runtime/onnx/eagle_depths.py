"""EagleDepths: score what an EAGLE layer would draft at every depth along a given text, many chains in one pass.

Row t of the layer joins the target's features of token t with token t + 1, and scores token t + 2: a draft at depth 0.
The draft at depth d of the round that begins in row t is scored by the layer's own state, d steps later. It attends to
the rows 0..t, which were read with the target's features, and to its own chain, as it does in decoding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgedraft.runtime.base.arrays import BoolArray, Float32Array, Logits
from edgedraft.runtime.base.provider_names import CPU
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import PREFILL_ROWS, Pass
from edgedraft.runtime.onnx.eagle import Fusing
from edgedraft.runtime.onnx.features import features_of
from edgedraft.runtime.onnx.memory import PassBuffers, bind_pass
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from edgedraft.runtime.onnx.signature import BIAS, NEXT_STATES, SCORED, STATES

MOST_DEPTHS = 8
"""Depths that can be scored at most."""
PLACES = (MOST_DEPTHS - 1) * PREFILL_ROWS
"""Places behind a text for keys and values of drafts."""

_UNSEEN = np.float32(-1e9)
"""Added to the attention's score of a row that is not to be seen."""


class EagleDepths:
    """An EAGLE layer that is given a text and scores the drafts of ``depths`` depths from each of its rows.

    ``graph`` is the layer's graph for traces (see `BIAS`), ``fusing`` computes EAGLE-3's states from features.
    ``index_map`` maps the rows of the head to the target's tokens. At most ``most_rows`` rows are scored at once; keys
    and values have `PLACES` for their drafts behind the context.
    """

    most_rows = PREFILL_ROWS

    def __init__(
        self, graph: Path, fusing: Path | None, index_map: IndexMap, settings: SessionSettings, depths: int
    ) -> None:
        require(1 <= depths <= MOST_DEPTHS, f"depths: expected 1..{MOST_DEPTHS}", got=depths)
        require(settings.provider == CPU, f"{graph}: depths are scored on the cpu", got=settings.provider)
        self.depths, self._context_length = depths, settings.context_length
        self._index_map = index_map
        longer = replace(settings, exact=False, context_length=settings.context_length + PLACES)
        self._graph = OnnxGraph(graph, longer, layer=True)
        self._fusing = Fusing(fusing, settings)
        self._cache = self._graph.new_cache()
        self.begin(())

    def begin(self, text_ids: Sequence[int]) -> None:
        """Start a text, of which nothing has been read; refuse one that is longer than the layer's context."""
        rows = max(len(text_ids) - 2, 0)
        rule = f"the drafter's context holds {self._context_length} tokens, and a traced answer ends behind them"
        remedy = f"trace shorter prompts and answers: choose --context-length {self._context_length}"
        require(rows < self._context_length, rule, got=len(text_ids), remedy=remedy)
        self._text = text_ids
        self._waiting: list[Float32Array] = []
        self._length = 0

    def take(self, target_pass: Pass, count: int) -> None:
        """Copy the features of the next ``count`` tokens, the first that ``target_pass`` has read."""
        self._waiting.append(features_of(target_pass)[:count].copy())

    def score(self, first: int, count: int) -> Iterator[Logits]:
        """Yield, for each depth, the logits (rows, vocab) of the drafts from row ``first`` on, ``count`` or fewer rows.

        Deeper drafts of the last rows would lie behind the text, so there are fewer of them. -inf stands for tokens
        that the head lacks. The features of these rows must have been taken; rows before ``first`` are read first.
        """
        require(1 <= count <= self.most_rows, f"depths: expected 1..{self.most_rows} rows at once", got=count)
        features = np.concatenate(self._waiting)
        for start in range(self._length, first, self.most_rows):
            end = min(start + self.most_rows, first)
            self._read(features[start - self._length : end - self._length], start, scored=False)
        logits, states = self._read(features[first - self._length :][:count], first, scored=True)
        self._waiting, self._length = [features[first + count - self._length :]], first + count
        yield self._by_target(logits)
        for depth in range(1, self.depths):
            # A draft needs a token of the text behind it to be judged by.
            rows = min(count, len(self._text) - 2 - depth - first)
            if rows <= 0:
                return
            logits, states = self._deepen(states[:rows], first, depth)
            yield self._by_target(logits)

    def _read(self, features: Float32Array, first: int, *, scored: bool) -> tuple[Logits, Float32Array]:
        """Read rows with the target's features; attention is causal, so nothing has to be hidden."""
        end = first + len(features)
        seen = np.ones((len(features), end), dtype=np.bool_)
        tokens = self._text[first + 1 : end + 1]
        return self._run(tokens, self._fusing.states(features), np.arange(first, end), first, seen, scored=scored)

    def _deepen(self, states: Float32Array, first: int, depth: int) -> tuple[Logits, Float32Array]:
        """Read one more row for each chain, ``states`` (rows, hidden) being those of the depth before."""
        rows = np.arange(len(states))
        # Behind the text's rows there is one place for every depth and chain.
        start = self._length + (depth - 1) * self.most_rows
        places = np.arange(start + len(states))
        own = (places - self._length) % self.most_rows == rows[:, None]
        seen = np.where(places < self._length, places <= first + rows[:, None], own)
        tokens = self._text[first + depth + 1 : first + depth + 1 + len(states)]
        return self._run(tokens, states, first + rows + depth, start, seen, scored=True)

    def _run(
        self,
        token_ids: Sequence[int],
        states: Float32Array,
        positions: np.ndarray,
        start: int,
        seen: BoolArray,
        *,
        scored: bool,
    ) -> tuple[Logits, Float32Array]:
        """Run a pass whose keys and values go to the places from ``start`` on; ``seen``: (rows, places)."""
        rows, end = len(states), start + len(states)
        bias = np.where(seen, np.float32(0), _UNSEEN)[None, None]
        picked = np.arange(rows) if scored else np.array([rows - 1])
        logits = np.empty((len(picked), self._graph.vocab_size), dtype=np.float32)
        after = np.empty((rows, self._graph.feature_width), dtype=np.float32)
        binding = self._cache.bound(start, end)
        laid_out = PassBuffers(
            ids=np.array([token_ids], dtype=np.int64),
            mask=np.ones((1, end), dtype=np.int64),
            positions=positions[None],
            logits=logits,
        )
        bind_pass(binding, self._graph.feeds, laid_out)
        inputs = {STATES: np.ascontiguousarray(states)[None], BIAS: bias, SCORED: picked}
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        binding.bind_output(NEXT_STATES, "cpu", 0, after.dtype, (1, *after.shape), after.ctypes.data)
        self._graph.session.run_with_iobinding(binding)
        self._cache.written(end)
        return logits, after

    def _by_target(self, logits: Logits) -> Logits:
        """Return logits by the target's tokens."""
        kept = self._index_map
        if len(kept.target_ids) == kept.target_vocab_size:
            return logits
        whole = np.full((len(logits), kept.target_vocab_size), -np.inf, dtype=np.float32)
        whole[:, kept.target_ids] = logits
        return whole
