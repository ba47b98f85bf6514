"""Load decoder graphs into ONNX Runtime and open models on them, each a `LanguageModel`.

A graph is loaded once; every model on it has its own keys and values. Where a graph writes them in place
(GroupQueryAttention), past and present share one buffer per layer, on the device that computes, and a rewind only
changes a length. A graph that appends to its past has them copied (see `GrowingCache`).
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.runtime.base.cores import require_threads
from edgedraft.runtime.base.errors import EdgedraftError, first_line
from edgedraft.runtime.base.provider_names import CPU
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.batch import Batch
from edgedraft.runtime.core.model import CONTEXT_LENGTH
from edgedraft.runtime.native.library import AUTO
from edgedraft.runtime.onnx.batch import OnnxBatch
from edgedraft.runtime.onnx.device_cache import DeviceCache
from edgedraft.runtime.onnx.exact import (
    MIXED_ROWS,
    SWITCHED_OFF,
    ExactModel,
    Exactness,
    require_exact,
    rounds_rows_alike,
    why_inexact,
)
from edgedraft.runtime.onnx.growing import GrowingCache, SequentialBatch
from edgedraft.runtime.onnx.huge_pages import huge_pages_under_new_memory
from edgedraft.runtime.onnx.kernel_choice import KernelChoice, chosen_kernels
from edgedraft.runtime.onnx.memory import Cache, LogitsBuffer, OnnxModel, SharedCache, cache_buffers
from edgedraft.runtime.onnx.providers import OpenedSession, open_session, share_thread_pool
from edgedraft.runtime.onnx.signature import (
    CACHE_POSITION,
    ROPE_SWITCH,
    ones_for,
    read_signature,
)
from edgedraft.runtime.onnx.stateful import ExactStatefulModel, StatefulModel, require_own_states
from edgedraft.runtime.onnx.states import RecurrentStates, StatefulCache
from edgedraft.runtime.onnx.two_tables import ExactTwoTableModel, TwoTableModel


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionSettings:
    """Settings of a session.

    ``threads`` is the size of the one pool that all sessions of the process share; on a GPU the CPU has little left to
    do. ``context_length`` is in tokens. ``provider`` is an execution provider by its short name (`cpu`, `webgpu`, ...);
    `available_providers` lists them. ``huge_pages`` moves the CPU's weights onto huge pages where the system allows it.
    ``kernels`` for block-wise products are "auto" (own ones where the graph and the CPU allow it), "stock"
    (onnxruntime's), or one by its name. ``exact`` switches exact mode on (see `edgedraft.runtime.onnx.exact`): True
    refuses a session that cannot be exact, None opens it without. Without ``prepack`` float weights stay mapped from
    their file: passes are slower, and take half the memory.
    """

    threads: int
    context_length: int = CONTEXT_LENGTH
    provider: str = CPU
    huge_pages: bool = True
    kernels: str = AUTO
    exact: bool | None = False
    prepack: bool = True

    def __post_init__(self) -> None:
        require_threads(self.threads)
        require(self.context_length >= 1, "context_length: expected 1 or more", got=self.context_length)


class OnnxGraph:
    """A loaded decoder graph of any exporter: its inputs and outputs are read from the graph (see `Signature`).

    ``shared`` is true for graphs that write keys and values in place, false for those that append to their past. With
    ``layer`` the graph is an EAGLE layer, which reads the target's states (`edgedraft.runtime.onnx.eagle`); no model
    can be opened on it.
    """

    def __init__(self, path: Path, settings: SessionSettings, *, layer: bool = False) -> None:
        opened, self.kernels = _open(path, settings)
        self.settings, self.session, self._on_device = settings, opened.session, opened.on_device
        signature = read_signature(path, self.session.get_inputs(), self.session.get_outputs(), layer=layer)
        self.feeds, self.caches = signature.feeds, signature.caches
        self.vocab_size, self.shared = signature.vocab_size, signature.shared
        self.feature_width, self.position_planes = signature.feature_width, signature.position_planes
        self.states, self._checkpoints = signature.states, signature.checkpoints
        self.state_bytes = sum(state.nbytes for state in self.states)
        self._path, self._rows = path, signature.rows
        self._switch = self._switch_length()
        self._why_inexact = why_inexact(path, signature, settings.provider, self.kernels)
        if self.states:
            require_own_states(path, settings.provider, self._on_device is None, self._switch)
        if settings.exact is not False:
            require_exact(path, self.exactness, self.kernels, required=settings.exact is True)

    def new_model(self, logits: LogitsBuffer | None = None, *, exact: bool | None = None) -> OnnxModel:
        """Return a model with an empty cache; models of one graph share its weights and, if given, ``logits``.

        Without ``exact`` it is exact if the session is.
        """
        needed = self._asked_and_exact if exact is None else exact
        return self._new_model(logits, padded=needed and not self.exact_mode_is_free)

    def _new_model(self, logits: LogitsBuffer | None = None, *, padded: bool) -> OnnxModel:
        with self._enough_memory("a context"):
            model = self._model(self._cache(self.settings.context_length), logits, padded=padded)
        if self._on_device is not None:
            self._try_out(model)
        return model

    @property
    def cache_bytes_per_token(self) -> int:
        """Return the bytes of the keys and values that one model keeps for a token."""
        copies = 1 if self.shared else 2  # a graph that appends reads one buffer and writes another
        return copies * sum(cache.heads * cache.width * np.dtype(cache.dtype).itemsize for cache in self.caches)

    def new_cache(self) -> Cache:
        """Return empty keys and values for one text."""
        with self._enough_memory("a context"):
            return self._cache(self.settings.context_length)

    @cached_property
    def exactness(self) -> Exactness:
        """The state of exact mode. It is on where it costs nothing, even if the settings do not ask for it."""
        reason = self._why_inexact
        if self.settings.exact is False and not self.exact_mode_is_free:
            reason = reason or SWITCHED_OFF
        elif reason is None and not (self.exact_mode_is_free or rounds_rows_alike(self._new_model(padded=True))):
            reason = MIXED_ROWS
        return Exactness(exact=reason is None, reason=reason)

    @property
    def _asked_and_exact(self) -> bool:
        return self.settings.exact is not False and self.exactness.exact

    @cached_property
    def exact_mode_is_free(self) -> bool:
        """True if models are exact in passes of any size; otherwise exact mode needs two rows or more in each."""
        known = self.kernels.independent_rows and self._why_inexact is None
        return known and rounds_rows_alike(self._new_model(padded=False))

    def _model(self, cache: Cache, logits: LogitsBuffer | None, *, padded: bool) -> OnnxModel:
        if isinstance(cache, StatefulCache):
            return (ExactStatefulModel if padded else StatefulModel)(self, cache, logits)
        if self._switch is None:
            return (ExactModel if padded else OnnxModel)(self, cache, logits)
        kind = ExactTwoTableModel if padded else TwoTableModel
        return kind(self, cache, logits, switch_length=self._switch)

    def _switch_length(self) -> int | None:
        """Return the length at which the graph changes its rotary factors, if the context is longer than that."""
        noted = self.session.metadata().get(ROPE_SWITCH)
        if noted is None or int(noted) >= self.settings.context_length:
            return None
        rule = f"{self._path}: a context of more than {noted} tokens needs keys and values that are written in place"
        require(self.shared, rule, got=self.settings.context_length, remedy="choose a shorter context")
        return int(noted)

    def _cache(self, context_length: int) -> Cache:
        keys_and_values = self._keys_and_values(context_length)
        if not self.states:
            return keys_and_values
        return StatefulCache(keys_and_values, RecurrentStates(self.states, checkpoints=self._checkpoints))

    def _keys_and_values(self, context_length: int) -> Cache:
        if not self.shared:
            return GrowingCache(self, context_length)
        if self._on_device is not None:
            return DeviceCache(self.session.io_binding(), self.caches, context_length, self._on_device)
        return SharedCache(self, cache_buffers(self, 1, context_length), context_length)

    def batch(self, rows: int) -> Batch:
        """Return ``rows`` empty models that step together; memory is committed as their texts grow.

        They step one after the other in five cases: if the graph appends to its past, which has one length for all
        rows; on a device, where each model has its own keys and values; if rotary factors depend on the longest row;
        in exact mode, if that needs two rows per pass; and with recurrent states, which each model keeps by itself.
        """
        require(rows >= 1, "a batch needs at least one row", got=rows)
        padded = self._asked_and_exact and not self.exact_mode_is_free
        together = self.shared and CACHE_POSITION not in self.feeds and self._on_device is None
        if not together or self._switch is not None or padded or self.states:
            logits = LogitsBuffer(self.vocab_size)  # shared by all models, since only one runs at a time
            return SequentialBatch([self.new_model(logits) for _ in range(rows)])
        symbolic = not isinstance(self._rows, int)
        require(symbolic, f"{self._path}: input_ids: a batch needs a symbolic number of rows", got=self._rows)
        with self._enough_memory(f"{rows} contexts"):
            return OnnxBatch(self, cache_buffers(self, rows + rows % 2, self.settings.context_length), rows)

    def joint_batch(self, rows: int) -> OnnxBatch | None:
        """Return a batch whose rows get the bits of passes alone in a shared one; None where they might not.

        None, too, for a graph that gives a drafter its states: a shared pass gives none.
        """
        batch = None if self.feature_width or not self.exact_mode_is_free else self.batch(rows)
        return batch if isinstance(batch, OnnxBatch) else None

    def _try_out(self, model: OnnxModel) -> None:
        """Read one token and forget it."""
        with _first_pass(self._path, self.settings):
            _require_scores(model.read([0]).logits[0])
        model.rewind(0)

    @contextmanager
    def _enough_memory(self, what: str) -> Iterator[None]:
        try:
            yield
        except (MemoryError, OSError, OverflowError) as error:
            rule = f"not enough memory for {what} of {self.settings.context_length} tokens"
            raise EdgedraftError(rule, got=first_line(error), remedy="choose a smaller context length") from error


class PlainGraph:
    """A graph with one input and one output, all of whose nodes must run on the chosen provider."""

    def __init__(self, path: Path, settings: SessionSettings) -> None:
        opened, self.kernels = _open(path, settings, alone=True)
        self._session = opened.session
        if opened.on_device is not None:
            with _first_pass(path, settings):
                self.bind(ones_for(self._session.get_inputs()[0])).run()

    def bind(self, values: np.ndarray) -> "BoundPass":
        """Return a pass over ``values``, which stay bound to the input; a GPU copies them once, here."""
        return BoundPass(self._session, values)


class BoundPass:
    """A pass of a plain graph that can be run repeatedly over the same input."""

    def __init__(self, session: Any, values: np.ndarray) -> None:
        self._session, self._binding = session, session.io_binding()
        self._binding.bind_cpu_input(session.get_inputs()[0].name, values)
        self._binding.bind_output(session.get_outputs()[0].name)

    def run(self) -> None:
        """Run one pass to its end."""
        self._session.run_with_iobinding(self._binding)

    def output(self) -> np.ndarray:
        """Copy the result of the last pass to the system's memory."""
        output: np.ndarray = self._binding.copy_outputs_to_cpu()[0]
        return output


def open_model(path: Path, settings: SessionSettings) -> OnnxModel:
    """Load a graph and return a model over it."""
    return OnnxGraph(path, settings).new_model()


def _open(path: Path, settings: SessionSettings, *, alone: bool = False) -> tuple[OpenedSession, KernelChoice]:
    """Open a session on the shared pool, with kernels and huge pages by the settings; return it and its kernels."""
    share_thread_pool(settings.threads)
    pages = huge_pages_under_new_memory() if settings.huge_pages and settings.provider == CPU else nullcontext()
    with chosen_kernels(path, settings.provider, settings.kernels) as kernels, pages:
        library, prepack = kernels.library, settings.prepack
        return open_session(path, settings.provider, alone=alone, operators=library, prepack=prepack), kernels


@contextmanager
def _first_pass(path: Path, settings: SessionSettings) -> Iterator[None]:
    """Explain a failure of the first pass: a graph beyond a GPU's limits opens without an error, and fails here."""
    try:
        yield
    except Exception as error:  # onnxruntime's exception classes are not importable by name
        rule = f"{path}: a pass on {settings.provider} fails"
        remedy = "choose a smaller context length or another precision, or the cpu"
        raise EdgedraftError(rule, got=first_line(error.__cause__ or error), remedy=remedy) from error


def _require_scores(scores: np.ndarray) -> None:
    """Refuse logits that are not finite or all equal: some drivers skip what they cannot compute, without an error."""
    sound = bool(np.isfinite(scores).all()) and float(np.ptp(scores)) > 0
    require(sound, "scores must be finite, and not all alike", got=float(scores[0]))
