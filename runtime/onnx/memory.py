"""A model over a loaded decoder graph, with keys and values of its own."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgedraft.runtime.base.arrays import CacheArray, Int64Array, Logits
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.onnx.binding import Binding
from edgedraft.runtime.onnx.features import FeatureRows
from edgedraft.runtime.onnx.huge_pages import zeros_on_demand
from edgedraft.runtime.onnx.providers import GuardedSession
from edgedraft.runtime.onnx.signature import CACHE_POSITION, IDS, LOGITS, MASK, POSITIONS, CacheInput


class DecoderGraph(Protocol):
    """A loaded graph: its session, and its inputs and outputs (see `Signature`)."""

    session: GuardedSession
    feeds: frozenset[str]
    caches: tuple[CacheInput, ...]
    vocab_size: int
    feature_width: int
    position_planes: int


class Cache(Protocol):
    """The keys and values of one model."""

    @property
    def context_length(self) -> int:
        """Largest number of tokens."""
        ...

    def bound(self, length: int, total: int) -> Binding:
        """Return a binding for a pass after the first ``length`` tokens, which makes them ``total``.

        Keys and values of those tokens stay as they are until `written`, so that a pass that fails can be repeated.
        """
        ...

    def written(self, total: int) -> None:
        """Note that the pass has run and keys and values of ``total`` tokens are stored."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PassBuffers:
    """The arrays that one pass reads and writes.

    ``ids`` and their ``positions`` in each row's text: (rows, tokens); ``mask``: (rows, total); ``logits``: (rows ·
    tokens, vocab), or (rows, vocab) where the graph scores the last token of each alone. A graph whose positions have
    planes takes them as (planes, rows, tokens).
    """

    ids: Int64Array
    mask: Int64Array
    positions: Int64Array
    logits: Logits


class LogitsBuffer:
    """A buffer for the logits of the largest pass so far; passes that share it overwrite each other's logits."""

    def __init__(self, vocab_size: int) -> None:
        self._logits = np.empty((0, vocab_size), dtype=np.float32)

    def rows(self, rows: int) -> Logits:
        """Return a view of the first ``rows`` rows: (rows, vocab)."""
        if len(self._logits) < rows:
            self._logits = np.empty((rows, self._logits.shape[1]), dtype=np.float32)
        return self._logits[:rows]


def cache_buffers(graph: DecoderGraph, rows: int, context_length: int) -> list[CacheArray]:
    """Allocate a zeroed (rows, heads, context, width) buffer for each cache input of ``graph``.

    Raises `OSError` or `OverflowError` where the address space is too small.
    """
    return [zeros_on_demand((rows, cache.heads, context_length, cache.width), cache.dtype) for cache in graph.caches]


class SharedCache:
    """Keys and values in buffers that are past and present at once, and that a pass writes in place.

    Such graphs use GroupQueryAttention: no pass copies keys and values, and the binding is made only once.
    ``buffers``: (1, heads, context, width) for each cache input; they may be one row of a batch's buffers. A graph
    without keys and values has none, and ``context_length`` limits its text.
    """

    def __init__(self, graph: DecoderGraph, buffers: Sequence[CacheArray], context_length: int | None = None) -> None:
        self._buffers = buffers
        self._binding = bound(graph, buffers)
        self._context_length = int(buffers[0].shape[2]) if context_length is None else context_length

    @property
    def context_length(self) -> int:
        """See `Cache.context_length`."""
        return self._context_length

    def bound(self, length: int, total: int) -> Binding:
        """See `Cache.bound`; the binding is always the same."""
        return self._binding

    def written(self, total: int) -> None:
        """See `Cache.written`; only the length changes, and the model counts it."""

    def take_over(self, other: "SharedCache", length: int) -> None:
        """Copy the keys and values of the first ``length`` tokens of ``other``."""
        for mine, theirs in zip(self._buffers, other._buffers, strict=True):
            mine[:, :, :length] = theirs[:, :, :length]


class OnnxModel:
    """A `LanguageModel` over a graph, with its own key/value cache.

    Models that are given the same ``logits`` overwrite each other's results.
    """

    def __init__(self, graph: DecoderGraph, cache: Cache, logits: LogitsBuffer | None = None) -> None:
        self._graph = graph
        self._cache = cache
        self._context_length = cache.context_length
        self._token_ids: list[int] = []
        self._ids = np.zeros((1, 1), dtype=np.int64)
        self._mask = np.ones((1, self._context_length), dtype=np.int64)
        self._places = np.arange(self._context_length, dtype=np.int64)[None]
        self._logits = logits or LogitsBuffer(graph.vocab_size)
        self._features = FeatureRows(graph.feature_width)
        self.limit_passes(least_mask=0, end=None)

    def limit_passes(self, *, least_mask: int, end: int | None) -> None:
        """Limit where passes, padding included, may end, and require masks of at least ``least_mask`` tokens."""
        self._pass_end = self._context_length if end is None else min(end, self._context_length)
        self._lengthened = np.zeros((1, least_mask), dtype=np.int64)

    @property
    def token_ids(self) -> Sequence[int]:
        """See `LanguageModel.token_ids`."""
        return self._token_ids

    @property
    def length(self) -> int:
        """Tokens read so far."""
        return len(self._token_ids)

    @property
    def context_length(self) -> int:
        """Largest number of tokens."""
        return self._context_length

    @property
    def vocab_size(self) -> int:
        """Width of the logits: the size of the vocabulary."""
        return self._graph.vocab_size

    def read(self, token_ids: Sequence[int]) -> Pass:
        """See `LanguageModel.read`; the logits are a view that the next call overwrites."""
        total = self.length + len(token_ids)
        require(len(token_ids) > 0, "nothing to read", got="0 tokens")
        require_context(total, self._context_length)
        self._features.begin(self.length, len(token_ids))
        logits = self._logits_of(token_ids)
        self._cache.written(total)
        self._token_ids.extend(token_ids)
        return Pass(logits=logits, features=self._features.rows())

    def _logits_of(self, token_ids: Sequence[int]) -> Logits:
        """Run the passes that read ``token_ids`` and return their logits; the length does not change yet."""
        return self._run(token_ids, self.length, self._logits.rows(len(token_ids)))

    def _run(self, token_ids: Sequence[int], start: int, logits: Logits) -> Logits:
        """Run a pass over tokens at ``start`` and behind it; fill and return ``logits``: (tokens, vocab)."""
        rows, end = len(token_ids), start + len(token_ids)
        if self._ids.shape[1] < rows:
            self._ids = np.zeros((1, rows), dtype=np.int64)
        ids, places = self._ids[:, :rows], self._places[:, start:end]
        ids[0] = token_ids
        positions = in_planes(places, self._graph.position_planes)
        laid_out = PassBuffers(ids=ids, mask=self._mask_of(end), positions=positions, logits=logits)
        binding = self._cache.bound(start, end)
        bind_pass(binding, self._graph.feeds, laid_out)
        self._features.bind(binding, start, end)
        self._graph.session.run_with_iobinding(binding)
        return logits

    def _mask_of(self, end: int) -> Int64Array:
        """Return the mask of a pass that ends at ``end``: (1, tokens), 1 for each token there is."""
        if end >= self._lengthened.shape[1]:
            return self._mask[:, :end]
        self._lengthened[:, :end], self._lengthened[:, end:] = 1, 0
        return self._lengthened

    def rewind(self, length: int) -> None:
        """See `LanguageModel.rewind`; only the length changes, later passes overwrite keys and values."""
        require(0 <= length <= self.length, f"cannot rewind to {length}: only {self.length} tokens were read")
        del self._token_ids[length:]

    def append(self, token_ids: Sequence[int]) -> None:
        """Add tokens whose keys and values a pass of the whole batch has written."""
        self._token_ids += token_ids

    def replace_tokens(self, token_ids: Sequence[int]) -> None:
        """Set the tokens to those whose keys and values the cache has copied from another."""
        self._token_ids[:] = token_ids


def require_context(total: int, context_length: int) -> None:
    """Refuse a text of ``total`` tokens that is longer than the context."""
    require(
        total <= context_length,
        f"the context holds {context_length} tokens",
        got=total,
        remedy="shorten the prompt or open the bundle with a larger context",
    )


def in_planes(positions: Int64Array, planes: int) -> Int64Array:
    """Return (rows, tokens) positions, or (planes, rows, tokens) equal ones for a graph that takes them so."""
    return np.repeat(positions[None], planes, axis=0) if planes else positions


def bound(graph: DecoderGraph, buffers: Sequence[CacheArray]) -> Binding:
    """Return a binding of ``graph`` whose past and present are both ``buffers``."""
    # The same address as input and output is what lets GroupQueryAttention append without copying.
    binding: Binding = graph.session.io_binding()
    for cache, buffer in zip(graph.caches, buffers, strict=True):
        binding.bind_input(cache.name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        binding.bind_output(cache.present, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
    return binding


def bind_pass(binding: Binding, feeds: Collection[str], one: PassBuffers) -> None:
    """Bind the inputs of ``one`` pass that the graph has, and its logits."""
    rows = len(one.ids)
    arrays = {IDS: one.ids, MASK: one.mask, POSITIONS: one.positions, CACHE_POSITION: one.positions[0]}
    for name, array in arrays.items():
        if name in feeds:
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    shape = (rows, len(one.logits) // rows, one.logits.shape[1])
    binding.bind_output(LOGITS, "cpu", 0, one.logits.dtype, shape, one.logits.ctypes.data)
