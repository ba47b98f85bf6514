"""Keys and values of graphs whose present is a copy of the past with new tokens appended, as Optimum exports them.

The past of such a graph has exactly the tokens that count, so a rewind must shorten it. Keys lie head by head, so a
shorter past has another layout: the next pass after a rewind copies it. These graphs copy the whole past in every pass
anyway; after a rewind they do so twice.
"""

from collections.abc import Sequence
from math import prod

from edgedraft.runtime.base.arrays import CacheArray, Logits
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.binding import Binding
from edgedraft.runtime.onnx.huge_pages import zeros_on_demand
from edgedraft.runtime.onnx.memory import DecoderGraph, LogitsBuffer, OnnxModel, require_context
from edgedraft.runtime.onnx.signature import CacheInput


class GrowingCache:
    """Two buffers for each cache input: a pass reads one and writes the other, and then they swap.

    No pass allocates memory; the system commits the buffers' pages as the text grows.
    """

    def __init__(self, graph: DecoderGraph, context_length: int) -> None:
        self._caches = graph.caches
        self._context_length = context_length
        self._binding: Binding = graph.session.io_binding()
        self._past, self._spare = (
            [_Buffer(cache, context_length) for cache in graph.caches] for _ in ("past", "present")
        )
        self._held = 0

    @property
    def context_length(self) -> int:
        """Return the largest number of tokens."""
        return self._context_length

    def bound(self, length: int, total: int) -> Binding:
        """See `Cache.bound`."""
        if length < self._held:
            self._shorten(length)
        for cache, past, present in zip(self._caches, self._past, self._spare, strict=True):
            self._binding.bind_input(cache.name, "cpu", 0, cache.dtype, past.shape(length), past.address)
            self._binding.bind_output(cache.present, "cpu", 0, cache.dtype, present.shape(total), present.address)
        return self._binding

    def written(self, total: int) -> None:
        """See `Cache.written`."""
        self._past, self._spare = self._spare, self._past
        self._held = total

    def _shorten(self, length: int) -> None:
        """Copy the first ``length`` tokens into a past of that length."""
        for past, spare in zip(self._past, self._spare, strict=True):
            spare.tokens(length)[:] = past.tokens(self._held)[:, :, :length]
        self.written(length)


class _Buffer:
    """Memory for one layer's keys or values, viewed as an array of as many tokens as needed."""

    def __init__(self, cache: CacheInput, context_length: int) -> None:
        self._cache = cache
        self._numbers: CacheArray = zeros_on_demand((cache.heads * context_length * cache.width,), cache.dtype)
        self.address: int = self._numbers.ctypes.data

    def shape(self, length: int) -> tuple[int, int, int, int]:
        """Return (1, heads, length, width)."""
        return 1, self._cache.heads, length, self._cache.width

    def tokens(self, length: int) -> CacheArray:
        """Return a view of the memory as an array of ``length`` tokens."""
        shape = self.shape(length)
        return self._numbers[: prod(shape)].reshape(shape)


class SequentialBatch:
    """A batch that steps its models one after the other, each in a pass of its own."""

    def __init__(self, models: Sequence[OnnxModel]) -> None:
        self._rows = list(models)
        self._logits = LogitsBuffer(models[0].vocab_size)

    @property
    def rows(self) -> Sequence[OnnxModel]:
        """Return the models; what one row holds does not affect any other."""
        return self._rows

    def step(self, token_ids: Sequence[int]) -> Logits:
        """Append one token to each of the first rows. Raises `EdgedraftError`, before any pass, if a row is full."""
        count = len(token_ids)
        require(1 <= count <= len(self._rows), f"a step takes 1..{len(self._rows)} tokens", got=count)
        for row in self._rows[:count]:
            require_context(row.length + 1, row.context_length)
        logits = self._logits.rows(count)
        for row, token_id, scores in zip(self._rows, token_ids, logits, strict=False):
            scores[:] = row.read([token_id]).logits[0]
        return logits

    def move(self, source: int, destination: int) -> None:
        """Move a row by swapping it with ``destination``; nothing is copied."""
        if source != destination:
            rows = self._rows
            rows[source], rows[destination] = rows[destination], rows[source]
            rows[source].rewind(0)
