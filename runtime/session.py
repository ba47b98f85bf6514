"""ONNX Runtime behind `LanguageModel`; the only file that knows onnxruntime.

Past and present share one buffer per layer (GroupQueryAttention writes in place), so rewinding is a length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import onnxruntime

from edgedraft.runtime.errors import EdgedraftError, first_line
from edgedraft.runtime.model import CONTEXT_LENGTH, Logits
from edgedraft.runtime.records import require

_PAST, _PRESENT = "past_key_values.", "present."
_INPUTS = {"input_ids", "attention_mask"}
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_ERRORS_ONLY = 3

onnxruntime_version: str = onnxruntime.__version__

_pool_threads: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionSettings:
    """How sessions are opened. ``threads`` sizes the one pool that all sessions of the process share."""

    threads: int
    context_length: int = CONTEXT_LENGTH


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


class OnnxModel:
    """A decoder graph with shared key/value buffers, as onnxruntime-genai's model builder writes it."""

    def __init__(self, graph: Path, settings: SessionSettings) -> None:
        share_thread_pool(settings.threads)
        self._graph = graph
        self._context_length = settings.context_length
        self._session = _open(graph)
        self._binding = self._session.io_binding()
        self._length = 0
        self._ids = np.zeros((1, 0), dtype=np.int64)
        self._mask = np.ones((1, settings.context_length), dtype=np.int64)
        self._bind_cache()
        self._vocab_size = self._logits_width()
        self._logits = np.empty((1, 1, self._vocab_size), dtype=np.float32)

    @property
    def length(self) -> int:
        """Tokens read so far."""
        return self._length

    @property
    def context_length(self) -> int:
        """Tokens the cache was allocated for."""
        return self._context_length

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""
        return self._vocab_size

    def read(self, token_ids: Sequence[int]) -> Logits:
        """See `LanguageModel.read`; the result is a view that the next call overwrites."""
        rows = len(token_ids)
        total = self._length + rows
        require(rows > 0, "nothing to read", got="0 tokens")
        require(
            total <= self._context_length,
            f"the context holds {self._context_length} tokens",
            got=total,
            remedy="shorten the prompt or open the bundle with a larger context",
        )
        if self._logits.shape[1] < rows:
            self._logits = np.empty((1, rows, self._vocab_size), dtype=np.float32)
        logits = self._logits[:, :rows]
        self._ids = np.array(token_ids, dtype=np.int64)[None]
        self._bind_array("input_ids", self._ids)
        self._bind_array("attention_mask", self._mask[:, :total])
        self._binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        self._session.run_with_iobinding(self._binding)
        self._length = total
        return cast(Logits, logits[0])

    def rewind(self, length: int) -> None:
        """See `LanguageModel.rewind`; nothing is copied."""
        require(0 <= length <= self._length, f"cannot rewind to {length}: only {self._length} tokens were read")
        self._length = length

    def _bind_array(self, name: str, array: npt.NDArray[np.int64]) -> None:
        """Bind ``array`` by address: it must stay alive until the run, so callers keep it on ``self``."""
        self._binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

    def _bind_cache(self) -> None:
        """One zeroed buffer per layer's key and value, bound as past and as present."""
        self._cache = []
        for node in self._session.get_inputs():
            if not node.name.startswith(_PAST):
                require(node.name in _INPUTS, f"{self._graph}: input {node.name}: only shared-buffer graphs are read")
                continue
            heads, width = node.shape[1], node.shape[3]
            require(
                isinstance(heads, int) and isinstance(width, int),
                f"{self._graph}: input {node.name}: expected fixed heads and head size",
                got=node.shape,
                remedy="export the model with edgedraft, which fixes them",
            )
            shape = (1, heads, self._context_length, width)
            buffer = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype=_FLOATS[node.type]))
            self._binding.bind_ortvalue_input(node.name, buffer)
            self._binding.bind_ortvalue_output(node.name.replace(_PAST, _PRESENT, 1), buffer)
            self._cache.append(buffer)
        require(bool(self._cache), f"{self._graph}: no inputs named {_PAST}*", remedy="export a decoder with past")

    def _logits_width(self) -> int:
        outputs = {node.name: node for node in self._session.get_outputs()}
        require("logits" in outputs, f"{self._graph}: no output named logits", got=sorted(outputs)[:3])
        width = outputs["logits"].shape[-1]
        require(isinstance(width, int), f"{self._graph}: logits: expected a fixed width", got=width)
        return int(width)


def _open(graph: Path) -> "onnxruntime.InferenceSession":
    options = onnxruntime.SessionOptions()
    options.use_per_session_threads = False
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # onnxruntime's exception classes are not importable by name
        raise EdgedraftError(f"{graph}: ONNX Runtime cannot open it", got=first_line(error)) from error
