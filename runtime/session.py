"""ONNX Runtime behind `LanguageModel`; the only file that knows onnxruntime.

A graph is loaded once; every memory opened on it has its own keys and values. Where a graph writes them in place
(GroupQueryAttention), past and present share one buffer per layer and rewinding is a length; a graph that appends to
its past has them copied (see `GrowingCache`).
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from edgedraft.runtime.batch import Batch
from edgedraft.runtime.errors import EdgedraftError, first_line
from edgedraft.runtime.growing import GrowingCache, InTurn
from edgedraft.runtime.huge_pages import huge_pages_under_new_memory
from edgedraft.runtime.memory import LogitsRoom, OnnxBatch, OnnxModel, SharedCache, cache_buffers
from edgedraft.runtime.model import CONTEXT_LENGTH
from edgedraft.runtime.records import require
from edgedraft.runtime.signature import CACHE_POSITION, read_signature

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


class OnnxGraph:
    """A decoder graph, loaded, whoever exported it: what it takes is told from the graph (see `Signature`).

    ``shared`` tells graphs that write keys and values in place from those that append to their past.
    """

    def __init__(self, path: Path, settings: SessionSettings) -> None:
        share_thread_pool(settings.threads)
        self.settings = settings
        with huge_pages_under_new_memory() if settings.huge_pages else nullcontext():
            self.session = _open(path, settings.provider)
        signature = read_signature(path, self.session.get_inputs(), self.session.get_outputs())
        self.feeds, self.caches = signature.feeds, signature.caches
        self.vocab_size, self.shared = signature.vocab_size, signature.shared
        self._path, self._rows = path, signature.rows

    def memory(self, logits: LogitsRoom | None = None) -> OnnxModel:
        """A model over this graph that has read nothing; memories share the weights and, if given, the ``logits``."""
        context = self.settings.context_length
        with self._enough_memory("a context"):
            if not self.shared:
                return OnnxModel(self, GrowingCache(self, context), logits)
            return OnnxModel(self, SharedCache(self, cache_buffers(self, 1, context)), logits)

    def batch(self, rows: int) -> Batch:
        """Memories that are stepped together, all empty; the system's memory is taken as their texts grow.

        A pass of a graph that appends to its past has one length for all rows: there, they are stepped one by one.
        """
        require(rows >= 1, "a batch needs at least one row", got=rows)
        if not self.shared or CACHE_POSITION in self.feeds:
            room = LogitsRoom(self.vocab_size)
            return InTurn([self.memory(room) for _ in range(rows)])
        symbolic = not isinstance(self._rows, int)
        require(symbolic, f"{self._path}: input_ids: a batch needs a symbolic number of rows", got=self._rows)
        with self._enough_memory(f"{rows} contexts"):
            return OnnxBatch(self, cache_buffers(self, rows + rows % 2, self.settings.context_length), rows)

    @contextmanager
    def _enough_memory(self, what: str) -> Iterator[None]:
        try:
            yield
        except (MemoryError, OSError, OverflowError) as error:
            rule = f"not enough memory for {what} of {self.settings.context_length} tokens"
            raise EdgedraftError(rule, got=first_line(error), remedy="choose a smaller context length") from error


class PlainGraph:
    """Any graph of one input and one output; every node must run on the chosen provider."""

    def __init__(self, path: Path, settings: SessionSettings) -> None:
        share_thread_pool(settings.threads)
        with huge_pages_under_new_memory() if settings.huge_pages else nullcontext():
            self._session = _open(path, settings.provider, alone=True)

    def bind(self, values: np.ndarray) -> "BoundPass":
        """Passes over ``values``, which stay bound to the input."""
        return BoundPass(self._session, values)


class BoundPass:
    """A pass of a plain graph over the same input, as often as it is run."""

    def __init__(self, session: "onnxruntime.InferenceSession", values: np.ndarray) -> None:
        self._session, self._binding = session, session.io_binding()
        self._binding.bind_cpu_input(session.get_inputs()[0].name, values)
        self._binding.bind_output(session.get_outputs()[0].name)

    def run(self) -> None:
        """One pass, finished when this returns."""
        self._session.run_with_iobinding(self._binding)

    def output(self) -> np.ndarray:
        """What the last pass yielded."""
        found: np.ndarray = self._binding.copy_outputs_to_cpu()[0]
        return found


def open_model(path: Path, settings: SessionSettings) -> OnnxModel:
    """A graph with a single memory."""
    return OnnxGraph(path, settings).memory()


def _open(path: Path, provider: str, *, alone: bool = False) -> "onnxruntime.InferenceSession":
    """A session; with ``alone`` the CPU may not step in for nodes that ``provider`` lacks."""
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
    if alone and provider != CPU:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
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
