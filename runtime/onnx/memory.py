"""Memories over a loaded decoder graph: one alone, or the rows of a batch that are stepped in one pass."""

import contextlib
import mmap
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgedraft.runtime.base.arrays import CacheArray, Int64Array, Logits
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.onnx.signature import CACHE_POSITION, IDS, LOGITS, MASK, POSITIONS, CacheInput


class Binding(Protocol):
    """Arrays bound by address to a graph's inputs and outputs; who binds keeps them alive until the run."""

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: npt.DTypeLike, shape: object, buffer_ptr: int
    ) -> None:
        """Have the graph read ``name`` from ``buffer_ptr``."""
        ...

    def bind_output(
        self, name: str, device_type: str, device_id: int, element_type: npt.DTypeLike, shape: object, buffer_ptr: int
    ) -> None:
        """Have the graph write ``name`` to ``buffer_ptr``."""
        ...


class Session(Protocol):
    """What a memory needs of an ONNX Runtime session."""

    def io_binding(self) -> Binding:
        """A new, empty binding."""
        ...

    def run_with_iobinding(self, binding: Binding) -> None:
        """One pass."""
        ...


class DecoderGraph(Protocol):
    """A loaded graph: its session, and what it takes and gives (see `Signature`)."""

    feeds: frozenset[str]
    caches: tuple[CacheInput, ...]
    vocab_size: int

    @property
    def session(self) -> Session:
        """The session; a property, so that a graph may declare a class of its own."""
        ...


class Cache(Protocol):
    """Keys and values of one memory."""

    @property
    def context_length(self) -> int:
        """Tokens there is room for."""
        ...

    def bound(self, length: int, total: int) -> Binding:
        """A binding for a pass that reads the first ``length`` tokens and makes them ``total``.

        What is held stays as it is until `written`, so that a pass that fails can be tried again.
        """
        ...

    def written(self, total: int) -> None:
        """The pass has run: ``total`` tokens are held."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PassBuffers:
    """What one pass reads and writes.

    ``ids`` and their ``positions`` in each row's text: (rows, tokens); ``mask``: (rows, total); ``logits``: (rows ·
    tokens, vocab).
    """

    ids: Int64Array
    mask: Int64Array
    positions: Int64Array
    logits: Logits


class LogitsRoom:
    """Room for the largest pass so far; passes that share it overwrite each other's logits."""

    def __init__(self, vocab_size: int) -> None:
        self._logits = np.empty((0, vocab_size), dtype=np.float32)

    def rows(self, rows: int) -> Logits:
        """The first (rows, vocab) of it."""
        if len(self._logits) < rows:
            self._logits = np.empty((rows, self._logits.shape[1]), dtype=np.float32)
        return self._logits[:rows]


def cache_buffers(graph: DecoderGraph, rows: int, context_length: int) -> list[CacheArray]:
    """Zeroed (rows, heads, context, width) buffers, one for each cache input of ``graph``.

    numpy would ask for huge pages, which commit a whole row with its first token. Raises `OSError` or `OverflowError`
    where the address space is too small.
    """
    return [zeros_on_demand((rows, cache.heads, context_length, cache.width), cache.dtype) for cache in graph.caches]


class SharedCache:
    """Past and present in one buffer, written in place (GroupQueryAttention): nothing is bound or copied twice.

    ``buffers``: (1, heads, context, width) for each cache input; they may be a row of a batch's.
    """

    def __init__(self, graph: DecoderGraph, buffers: Sequence[CacheArray]) -> None:
        self._buffers = buffers
        self._binding = bound(graph, buffers)

    @property
    def context_length(self) -> int:
        """See `Cache.context_length`."""
        return int(self._buffers[0].shape[2])

    def bound(self, length: int, total: int) -> Binding:
        """See `Cache.bound`; always the same one."""
        return self._binding

    def written(self, total: int) -> None:
        """See `Cache.written`; a length is all there is to note, and its model notes it."""

    def take_over(self, other: "SharedCache", length: int) -> None:
        """Copy the first ``length`` tokens of ``other``."""
        for mine, theirs in zip(self._buffers, other._buffers, strict=True):
            mine[:, :, :length] = theirs[:, :, :length]


class OnnxModel:
    """One memory over a graph: a `LanguageModel`.

    Models that are given the same ``logits`` overwrite each other's results.
    """

    def __init__(self, graph: DecoderGraph, cache: Cache, logits: LogitsRoom | None = None) -> None:
        self._graph = graph
        self._cache = cache
        self._context_length = cache.context_length
        self._token_ids: list[int] = []
        self._ids = np.zeros((1, 1), dtype=np.int64)
        self._mask = np.ones((1, self._context_length), dtype=np.int64)
        self._places = np.arange(self._context_length, dtype=np.int64)[None]
        self._logits = logits or LogitsRoom(graph.vocab_size)

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
        """Tokens there is room for."""
        return self._context_length

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""
        return self._graph.vocab_size

    def read(self, token_ids: Sequence[int]) -> Pass:
        """See `LanguageModel.read`; the logits are a view that the next call overwrites."""
        rows = len(token_ids)
        total = self.length + rows
        require(rows > 0, "nothing to read", got="0 tokens")
        require_room(total, self._context_length)
        if self._ids.shape[1] < rows:
            self._ids = np.zeros((1, rows), dtype=np.int64)
        ids, places, logits = self._ids[:, :rows], self._places[:, self.length : total], self._logits.rows(rows)
        ids[0] = token_ids
        laid_out = PassBuffers(ids=ids, mask=self._mask[:, :total], positions=places, logits=logits)
        binding = self._cache.bound(self.length, total)
        bind_pass(binding, self._graph.feeds, laid_out)
        self._graph.session.run_with_iobinding(binding)
        self._cache.written(total)
        self._token_ids.extend(token_ids)
        return Pass(logits=logits)

    def rewind(self, length: int) -> None:
        """See `LanguageModel.rewind`; nothing is copied here."""
        require(0 <= length <= self.length, f"cannot rewind to {length}: only {self.length} tokens were read")
        del self._token_ids[length:]

    def append(self, token_id: int) -> None:
        """Note a token whose keys and values a pass of the whole batch wrote."""
        self._token_ids.append(token_id)

    def replace_tokens(self, token_ids: Sequence[int]) -> None:
        """Note what the cache has taken over from another."""
        self._token_ids[:] = token_ids


class OnnxBatch:
    """Memories over one graph that can be stepped together, each with a length of its own.

    ``buffers``: (rows, heads, context, width), rows even, for each cache input; the last row may be a spare one. Passes
    are always over an even number of rows: kernels take rows in pairs, and at int4 a last single one rounds
    differently, so that a row's logits would depend on how many others there are.
    """

    def __init__(self, graph: DecoderGraph, buffers: Sequence[CacheArray], rows: int) -> None:
        paired, _, self._context_length, _ = buffers[0].shape
        require(1 <= rows <= paired and paired % 2 == 0, "buffers hold an even number of rows", got=(rows, paired))
        self._graph = graph
        self._buffers = buffers
        self._logits = LogitsRoom(graph.vocab_size)
        slices = [[buffer[row : row + 1] for buffer in buffers] for row in range(paired)]
        self._caches = [SharedCache(graph, own) for own in slices]
        self._models = [OnnxModel(graph, cache, self._logits) for cache in self._caches]
        self._rows = self._models[:rows]
        self._bindings: dict[int, Binding] = {}
        self._ids = np.zeros((paired, 1), dtype=np.int64)
        self._lengths = np.zeros((paired, 1), dtype=np.int64)
        self._mask = np.zeros(paired * self._context_length, dtype=np.int64)
        self._places = np.arange(self._context_length, dtype=np.int64)

    @property
    def rows(self) -> Sequence[OnnxModel]:
        """The memories, each a `LanguageModel`; the logits of all of them and of `step` share one room."""
        return self._rows

    def step(self, token_ids: Sequence[int]) -> Logits:
        """Append one token to each of the first rows; row i of the (rows, vocab) result scores what follows in row i.

        A view that the next call on the batch or on one of its rows overwrites. Raises `EdgedraftError`, with nothing
        read, when a row's memory would overflow.
        """
        count = len(token_ids)
        require(1 <= count <= len(self._rows), f"a step takes 1..{len(self._rows)} tokens", got=count)
        paired = count + count % 2
        for row, model in enumerate(self._models[:paired]):
            self._lengths[row] = model.length + 1
        require_room(int(self._lengths[:count].max()), self._context_length)
        # An idle partner writes behind what it holds; when full, into its last place, which is read before it counts.
        np.minimum(self._lengths[:paired], self._context_length, out=self._lengths[:paired])
        self._ids[:count, 0] = token_ids
        logits = self._pass(paired)[:count]
        for model, token_id in zip(self._rows, token_ids, strict=False):
            model.append(token_id)
        return logits

    def move(self, source: int, destination: int) -> None:
        """Row ``destination`` holds what row ``source`` has read, which is empty then; only that much is copied."""
        if source == destination:
            return
        moved = self._rows[source]
        self._caches[destination].take_over(self._caches[source], moved.length)
        self._rows[destination].replace_tokens(moved.token_ids)
        moved.rewind(0)

    def _pass(self, paired: int) -> Logits:
        """Run the first ``paired`` rows with what `step` has laid out."""
        total = int(self._lengths[:paired].max())
        mask = self._mask[: paired * total].reshape(paired, total)
        np.less(self._places[:total], self._lengths[:paired], out=mask)
        logits = self._logits.rows(paired)
        if paired not in self._bindings:
            self._bindings[paired] = bound(self._graph, [buffer[:paired] for buffer in self._buffers])
        positions = self._lengths[:paired] - 1
        laid_out = PassBuffers(ids=self._ids[:paired], mask=mask, positions=positions, logits=logits)
        bind_pass(self._bindings[paired], self._graph.feeds, laid_out)
        self._graph.session.run_with_iobinding(self._bindings[paired])
        return logits


def require_room(total: int, context_length: int) -> None:
    """Refuse a memory of ``total`` tokens where there is no room for them."""
    require(
        total <= context_length,
        f"the context holds {context_length} tokens",
        got=total,
        remedy="shorten the prompt or open the bundle with a larger context",
    )


def bound(graph: DecoderGraph, buffers: Sequence[CacheArray]) -> Binding:
    """A binding of ``graph`` whose past and present are both ``buffers``."""
    binding = graph.session.io_binding()
    for cache, buffer in zip(graph.caches, buffers, strict=True):
        binding.bind_input(cache.name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        binding.bind_output(cache.present, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
    return binding


def bind_pass(binding: Binding, feeds: Collection[str], one: PassBuffers) -> None:
    """Bind what ``one`` pass reads, as far as the graph takes it, and its logits."""
    rows, tokens = one.ids.shape
    arrays = {IDS: one.ids, MASK: one.mask, POSITIONS: one.positions, CACHE_POSITION: one.positions[0]}
    for name, array in arrays.items():
        if name in feeds:
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    shape = (rows, tokens, one.logits.shape[1])
    binding.bind_output(LOGITS, "cpu", 0, one.logits.dtype, shape, one.logits.ctypes.data)


def zeros_on_demand(shape: tuple[int, ...], dtype: npt.DTypeLike) -> CacheArray:
    """Return zeros in a mapping of their own, committed by the system as they are used; the array keeps it alive.

    The mapping is private: a forked child writes to a copy, never to its parent's keys and values.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    if sys.platform == "win32":
        memory = mmap.mmap(-1, size)  # neither fork nor huge pages without asking
    else:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        _keep_small_pages(memory)
    return np.frombuffer(memory, dtype=dtype).reshape(shape)


def _keep_small_pages(memory: mmap.mmap) -> None:
    """Ask for no huge pages: where a system gives them unasked, one token of a row would commit 2 MiB."""
    if sys.platform == "linux":
        # A kernel built without huge pages refuses the advice, and needs none.
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_NOHUGEPAGE)
