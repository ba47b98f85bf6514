"""Memories over a loaded decoder graph: one alone, or the rows of a batch that are stepped in one pass."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgedraft.runtime.model import Logits
from edgedraft.runtime.records import require

PAST, PRESENT = "past_key_values.", "present."

KeysOrValues = npt.NDArray[np.float32] | npt.NDArray[np.float16]


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


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheInput:
    """One layer's key or value buffer as the graph declares it; ``name`` is that of the past."""

    name: str
    heads: int
    width: int
    dtype: npt.DTypeLike

    @property
    def present(self) -> str:
        """Name of the output that shares the buffer."""
        return self.name.replace(PAST, PRESENT, 1)


class DecoderGraph(Protocol):
    """A loaded graph with shared key/value buffers and a symbolic batch."""

    session: Session
    caches: list[CacheInput]
    vocab_size: int


class LogitsRoom:
    """Room for the largest pass so far; passes that share it overwrite each other's logits."""

    def __init__(self, vocab_size: int) -> None:
        self._logits = np.empty((0, vocab_size), dtype=np.float32)

    def rows(self, rows: int) -> Logits:
        """The first (rows, vocab) of it."""
        if len(self._logits) < rows:
            self._logits = np.empty((rows, self._logits.shape[1]), dtype=np.float32)
        return self._logits[:rows]


def cache_buffers(graph: DecoderGraph, rows: int, context_length: int) -> list[KeysOrValues]:
    """Zeroed (rows, heads, context, width) buffers, one for each cache input of ``graph``.

    The system commits their pages as they are used. numpy would ask for huge pages, which commit a whole row with its
    first token. Raises `OSError` or `OverflowError` where the address space is too small.
    """
    return [_zeros((rows, cache.heads, context_length, cache.width), cache.dtype) for cache in graph.caches]


class OnnxModel:
    """One memory over a graph: a `LanguageModel`. Nothing is allocated or copied from step to step.

    ``buffers``: (1, heads, context, width) for each cache input; they may be a row of a batch's. Models that are given
    the same ``logits`` overwrite each other's results.
    """

    def __init__(self, graph: DecoderGraph, buffers: Sequence[KeysOrValues], logits: LogitsRoom | None = None) -> None:
        self._graph = graph
        self._buffers = buffers
        self._context_length = int(buffers[0].shape[2])
        self._binding = bound(graph, buffers)
        self._token_ids: list[int] = []
        self._ids = np.zeros((1, 1), dtype=np.int64)
        self._mask = np.ones((1, self._context_length), dtype=np.int64)
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
        """Tokens the buffers have room for."""
        return self._context_length

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""
        return self._graph.vocab_size

    def read(self, token_ids: Sequence[int]) -> Logits:
        """See `LanguageModel.read`; the result is a view that the next call overwrites."""
        rows = len(token_ids)
        total = self.length + rows
        require(rows > 0, "nothing to read", got="0 tokens")
        require_room(total, self._context_length)
        if self._ids.shape[1] < rows:
            self._ids = np.zeros((1, rows), dtype=np.int64)
        ids, logits = self._ids[:, :rows], self._logits.rows(rows)
        ids[0] = token_ids
        bind_pass(self._binding, ids, self._mask[:, :total], logits)
        self._graph.session.run_with_iobinding(self._binding)
        self._token_ids.extend(token_ids)
        return logits

    def rewind(self, length: int) -> None:
        """See `LanguageModel.rewind`; nothing is copied."""
        require(0 <= length <= self.length, f"cannot rewind to {length}: only {self.length} tokens were read")
        del self._token_ids[length:]

    def append(self, token_id: int) -> None:
        """Note a token whose keys and values a pass of the whole batch wrote."""
        self._token_ids.append(token_id)

    def take_over(self, other: "OnnxModel") -> None:
        """Hold what ``other`` has read, copied, instead of one's own; ``other`` is empty then."""
        if other is self:
            return
        for mine, theirs in zip(self._buffers, other._buffers, strict=True):
            mine[:, :, : other.length] = theirs[:, :, : other.length]
        self._token_ids[:] = other._token_ids
        other.rewind(0)


class OnnxBatch:
    """Memories over one graph that can be stepped together, each with a length of its own.

    ``buffers``: (rows, heads, context, width), rows even, for each cache input; the last row may be a spare one. Passes
    are always over an even number of rows: kernels take rows in pairs, and at int4 a last single one rounds
    differently, so that a row's logits would depend on how many others there are.
    """

    def __init__(self, graph: DecoderGraph, buffers: Sequence[KeysOrValues], rows: int) -> None:
        paired, _, self._context_length, _ = buffers[0].shape
        require(1 <= rows <= paired and paired % 2 == 0, "buffers hold an even number of rows", got=(rows, paired))
        self._graph = graph
        self._buffers = buffers
        self._logits = LogitsRoom(graph.vocab_size)
        slices = [[buffer[row : row + 1] for buffer in buffers] for row in range(paired)]
        self._models = [OnnxModel(graph, own, self._logits) for own in slices]
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
        self._rows[destination].take_over(self._rows[source])

    def _pass(self, paired: int) -> Logits:
        """Run the first ``paired`` rows with what `step` has laid out."""
        total = int(self._lengths[:paired].max())
        mask = self._mask[: paired * total].reshape(paired, total)
        np.less(self._places[:total], self._lengths[:paired], out=mask)
        logits = self._logits.rows(paired)
        if paired not in self._bindings:
            self._bindings[paired] = bound(self._graph, [buffer[:paired] for buffer in self._buffers])
        bind_pass(self._bindings[paired], self._ids[:paired], mask, logits)
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


def bound(graph: DecoderGraph, buffers: Sequence[KeysOrValues]) -> Binding:
    """A binding of ``graph`` whose past and present are both ``buffers``."""
    binding = graph.session.io_binding()
    for cache, buffer in zip(graph.caches, buffers, strict=True):
        binding.bind_input(cache.name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        binding.bind_output(cache.present, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
    return binding


def bind_pass(binding: Binding, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64], logits: Logits) -> None:
    """Bind one pass: ``ids`` (rows, tokens), ``mask`` (rows, total), ``logits`` (rows · tokens, vocab)."""
    binding.bind_input("input_ids", "cpu", 0, ids.dtype, ids.shape, ids.ctypes.data)
    binding.bind_input("attention_mask", "cpu", 0, mask.dtype, mask.shape, mask.ctypes.data)
    shape = (*ids.shape, logits.shape[1])
    binding.bind_output("logits", "cpu", 0, logits.dtype, shape, logits.ctypes.data)


def _zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> KeysOrValues:
    """Zeros in a mapping of their own; the array keeps it alive."""
    memory = mmap.mmap(-1, prod(shape) * np.dtype(dtype).itemsize)
    return np.frombuffer(memory, dtype=dtype).reshape(shape)
