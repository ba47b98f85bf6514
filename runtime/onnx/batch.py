"""Models over one graph that a pass reads for together, each with its own keys, values and length."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgedraft.runtime.base.arrays import CacheArray, Logits
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.binding import Binding
from edgedraft.runtime.onnx.memory import (
    DecoderGraph,
    LogitsBuffer,
    OnnxModel,
    PassBuffers,
    SharedCache,
    bind_pass,
    bound,
    in_planes,
    require_context,
)


class OnnxBatch:
    """Models over one graph that one pass steps together, each with its own length.

    ``buffers``: (rows, heads, context, width), rows even, for each cache input; the last row may be a spare one.
    """

    def __init__(self, graph: DecoderGraph, buffers: Sequence[CacheArray], rows: int) -> None:
        paired, _, self._context_length, _ = buffers[0].shape
        require(1 <= rows <= paired and paired % 2 == 0, "buffers hold an even number of rows", got=(rows, paired))
        self._graph = graph
        self._buffers = buffers
        self._logits = LogitsBuffer(graph.vocab_size)
        slices = [[buffer[row : row + 1] for buffer in buffers] for row in range(paired)]
        self._caches = [SharedCache(graph, own) for own in slices]
        self._models = [OnnxModel(graph, cache, self._logits) for cache in self._caches]
        self._rows = self._models[:rows]
        self._bindings: dict[tuple[int, int], Binding] = {}
        self._places = np.arange(self._context_length, dtype=np.int64)

    @property
    def rows(self) -> Sequence[OnnxModel]:
        """The models; their logits and those of `step` and `read` share one buffer."""
        return self._rows

    def step(self, token_ids: Sequence[int]) -> Logits:
        """Append one token to each of the first rows; row i of the (rows, vocab) result scores what follows in row i.

        A pass always has an even number of rows: kernels take rows in pairs, and at int4 a single last row rounds
        differently, so that a row's logits would depend on how many other rows there are. The result is a view that
        the next call on the batch or on one of its rows overwrites. Raises `EdgedraftError`, with nothing read, when
        a row's context is full.
        """
        count = len(token_ids)
        require(1 <= count <= len(self._rows), f"a step takes 1..{len(self._rows)} tokens", got=count)
        require_context(max(model.length for model in self._rows[:count]) + 1, self._context_length)
        paired = count + count % 2
        ids = np.zeros((paired, 1), dtype=np.int64)
        ids[:count, 0] = token_ids
        # An idle partner row writes behind its own tokens, where nothing is lost. When it is full it writes into its
        # last place: it can read nothing more until a rewind frees that place, and the next token overwrites it.
        starts = [min(model.length, self._context_length - 1) for model in self._models[:paired]]
        logits = self._pass(0, ids, starts)[:count]
        for model, token_id in zip(self._rows, token_ids, strict=False):
            model.append([token_id])
        return logits

    def takes(self, token_ids: Mapping[int, Sequence[int]]) -> bool:
        """Return whether `read` can read ``token_ids``: every row between them needs room for the longest."""
        first, last, longest = _extent(token_ids)
        return all(model.length + longest <= self._context_length for model in self._models[first : last + 1])

    def read(self, token_ids: Mapping[int, Sequence[int]]) -> dict[int, Logits]:
        """Append tokens to several rows, by their numbers, in one pass; return each row's (tokens, vocab) logits.

        All rows from the first to the last are computed, as many tokens of each as the longest has; what is too much
        is written behind a row's own tokens, where the next pass overwrites it. So a row's logits are those of a pass
        of its own only with kernels that compute every row by itself. The results are views that the next call on the
        batch or on one of its rows overwrites. Ask `takes` first.
        """
        first, last, longest = _extent(token_ids)
        ids = np.zeros((last + 1 - first, longest), dtype=np.int64)
        for row, own in token_ids.items():
            ids[row - first, : len(own)] = own
        logits = self._pass(first, ids, [model.length for model in self._models[first : last + 1]])
        for row, own in token_ids.items():
            self._rows[row].append(own)
        by_row = logits.reshape(*ids.shape, -1)
        return {row: by_row[row - first, : len(own)] for row, own in token_ids.items()}

    def move(self, source: int, destination: int) -> None:
        """Move what row ``source`` has read to row ``destination``, and leave ``source`` empty."""
        if source == destination:
            return
        moved = self._rows[source]
        self._caches[destination].take_over(self._caches[source], moved.length)
        self._rows[destination].replace_tokens(moved.token_ids)
        moved.rewind(0)

    def _pass(self, first: int, ids: np.ndarray, starts: Sequence[int]) -> Logits:
        """Run a pass of the rows from ``first`` on; ``ids``: (rows, tokens), written from ``starts`` on in each row."""
        rows, tokens = ids.shape
        behind = np.array(starts, dtype=np.int64)[:, None]
        ends, total = behind + tokens, max(starts) + tokens
        logits = self._logits.rows(rows * tokens)
        binding = self._bindings.get((first, rows))
        if binding is None:
            binding = bound(self._graph, [buffer[first : first + rows] for buffer in self._buffers])
            self._bindings[first, rows] = binding
        laid_out = PassBuffers(
            ids=ids,
            mask=(self._places[:total] < ends).astype(np.int64),  # 1 at a row's own tokens
            positions=in_planes(behind + np.arange(tokens), self._graph.position_planes),
            logits=logits,
        )
        bind_pass(binding, self._graph.feeds, laid_out)
        self._graph.session.run_with_iobinding(binding)
        return logits


def _extent(token_ids: Mapping[int, Sequence[int]]) -> tuple[int, int, int]:
    """Return the first row, the last one, and the largest number of tokens."""
    return min(token_ids), max(token_ids), max(map(len, token_ids.values()))
