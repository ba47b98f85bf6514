"""ONNX Runtime behind `LanguageModel`; the only file that knows onnxruntime.

A graph is loaded once; every memory opened on it has its own key/value buffers. Past and present share one buffer per
layer (GroupQueryAttention writes in place), so rewinding is a length.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import onnxruntime

from edgedraft.runtime.errors import EdgedraftError, first_line
from edgedraft.runtime.huge_pages import huge_pages_under_new_memory
from edgedraft.runtime.model import CONTEXT_LENGTH, Logits
from edgedraft.runtime.records import require

_PAST, _PRESENT = "past_key_values.", "present."
_INPUTS = {"input_ids", "attention_mask"}
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_NO_LOG = 4  # what goes wrong is raised, and told once
_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate", "Cannot allocate memory", "MemoryError", "mmap")

CPU = "cpu"

onnxruntime_version: str = onnxruntime.__version__

_pool_threads: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionSettings:
    """How sessions are opened. ``threads`` sizes the one pool that all sessions of the process share.

    ``provider`` is an execution provider by its short name (`cpu`, `cuda`, ...); `available_providers` lists them.
    ``huge_pages`` moves the weights onto huge pages where the system lets us.
    """

    threads: int
    context_length: int = CONTEXT_LENGTH
    provider: str = CPU
    huge_pages: bool = True


def available_providers() -> dict[str, str]:
    """Short names of the execution providers of this onnxruntime, and its own names for them."""
    suffix = "ExecutionProvider"
    names = (name for name in onnxruntime.get_available_providers() if name.endswith(suffix))
    return {name.removesuffix(suffix).lower(): name for name in names}


def share_thread_pool(threads: int) -> None:
    """Size the process-wide pool; sessions with pools of their own fight over the cores when they alternate.

    ONNX Runtime fixes the size when the first session opens, so a later call with another size is refused.
    """
    global _pool_threads
    if _pool_threads is None:
        onnxruntime.set_global_thread_pool_sizes(threads, 1)
        _pool_threads = threads
    require(
        _pool_threads == threads,
        f"this process already runs with {_pool_threads} threads",
        got=threads,
        remedy="start a new process to change the number of threads",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cache:
    """One layer's key or value buffer as the graph declares it."""

    name: str
    heads: int
    width: int
    dtype: npt.DTypeLike


class OnnxGraph:
    """A decoder graph with shared key/value buffers, as onnxruntime-genai's model builder writes it, loaded."""

    def __init__(self, path: Path, settings: SessionSettings) -> None:
        share_thread_pool(settings.threads)
        self.settings = settings
        with huge_pages_under_new_memory() if settings.huge_pages else nullcontext():
            self.session = _open(path, settings.provider)
        self.caches = [_cache(path, node) for node in self.session.get_inputs() if node.name not in _INPUTS]
        require(bool(self.caches), f"{path}: no inputs named {_PAST}*", remedy="export a decoder with past")
        outputs = {node.name: node for node in self.session.get_outputs()}
        require("logits" in outputs, f"{path}: no output named logits", got=sorted(outputs)[:3])
        width = outputs["logits"].shape[-1]
        require(isinstance(width, int), f"{path}: logits: expected a fixed width", got=width)
        self.vocab_size = int(width)

    def memory(self) -> "OnnxModel":
        """A model over this graph that has read nothing; memories share the weights and nothing else."""
        try:
            return OnnxModel(self)
        except MemoryError as error:
            rule = f"not enough memory for a context of {self.settings.context_length} tokens"
            raise EdgedraftError(rule, got=first_line(error), remedy="choose a smaller context length") from error


def open_model(path: Path, settings: SessionSettings) -> "OnnxModel":
    """A graph with a single memory."""
    return OnnxGraph(path, settings).memory()


class OnnxModel:
    """One memory over an `OnnxGraph`: a `LanguageModel`. Nothing is allocated or copied from step to step."""

    def __init__(self, graph: OnnxGraph) -> None:
        self._graph = graph
        self._context_length = graph.settings.context_length
        self._binding = graph.session.io_binding()
        self._token_ids: list[int] = []
        self._ids = np.zeros((1, 1), dtype=np.int64)
        self._mask = np.ones((1, self._context_length), dtype=np.int64)
        self._logits = np.empty((1, 1, graph.vocab_size), dtype=np.float32)
        self._buffers = [self._bind_cache(cache) for cache in graph.caches]

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
        require(
            total <= self._context_length,
            f"the context holds {self._context_length} tokens",
            got=total,
            remedy="shorten the prompt or open the bundle with a larger context",
        )
        self._make_room(rows)
        ids, logits = self._ids[:, :rows], self._logits[:, :rows]
        ids[0] = token_ids
        self._bind_input("input_ids", ids)
        self._bind_input("attention_mask", self._mask[:, :total])
        self._binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        self._graph.session.run_with_iobinding(self._binding)
        self._token_ids.extend(token_ids)
        return cast(Logits, logits[0])

    def rewind(self, length: int) -> None:
        """See `LanguageModel.rewind`; nothing is copied."""
        require(0 <= length <= self.length, f"cannot rewind to {length}: only {self.length} tokens were read")
        del self._token_ids[length:]

    def _make_room(self, rows: int) -> None:
        """Input and output buffers for the largest pass so far; smaller ones use their beginning."""
        if self._ids.shape[1] < rows:
            self._ids = np.zeros((1, rows), dtype=np.int64)
            self._logits = np.empty((1, rows, self.vocab_size), dtype=np.float32)

    def _bind_input(self, name: str, array: npt.NDArray[np.int64]) -> None:
        """Bind ``array`` by address: it must stay alive until the run, so it is a view of an array on ``self``."""
        self._binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

    def _bind_cache(self, cache: _Cache) -> npt.NDArray[np.float32] | npt.NDArray[np.float16]:
        """One zeroed buffer, bound as past and as present; the system commits its pages when they are first used."""
        buffer = np.zeros((1, cache.heads, self._context_length, cache.width), dtype=cache.dtype)
        present = cache.name.replace(_PAST, _PRESENT, 1)
        self._binding.bind_input(cache.name, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        self._binding.bind_output(present, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        return buffer


def _cache(path: Path, node: "onnxruntime.NodeArg") -> _Cache:
    require(node.name.startswith(_PAST), f"{path}: input {node.name}: only shared-buffer graphs are read")
    heads, width = node.shape[1], node.shape[3]
    require(
        isinstance(heads, int) and isinstance(width, int),
        f"{path}: input {node.name}: expected fixed heads and head size",
        got=node.shape,
        remedy="export the model with edgedraft, which fixes them",
    )
    return _Cache(name=node.name, heads=heads, width=width, dtype=_FLOATS[node.type])


def _open(path: Path, provider: str) -> "onnxruntime.InferenceSession":
    known = available_providers()
    require(
        provider in known,
        f"provider: this onnxruntime offers {', '.join(sorted(known))}",
        got=provider,
        remedy="choose one of these or install the onnxruntime build that has it",
    )
    options = onnxruntime.SessionOptions()
    options.use_per_session_threads = False
    options.log_severity_level = _NO_LOG
    providers = [known[provider]]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime's exception classes are not importable by name
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in _NO_MEMORY):
            remedy = "close other programs, or export a smaller precision"
            raise EdgedraftError(
                f"{path}: not enough memory to open it", got=first_line(error), remedy=remedy
            ) from error
        raise EdgedraftError(f"{path}: ONNX Runtime cannot open it", got=first_line(error)) from error
