"""Execution providers, and sessions opened on one of them; the only file that imports onnxruntime."""

import importlib.util
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime

from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.base.graph_reads import require_own_data
from edgedraft.runtime.base.provider_names import CPU, WEBGPU
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.missing_gpu import ALLOW_SOFTWARE, missing_gpu, vulkan_devices

_LOG = logging.getLogger(__name__)

onnxruntime_version: str = onnxruntime.__version__

_NO_LOG = 4  # above "fatal": errors are raised, and must not be printed as well
# Parts of the messages by which ONNX Runtime and the systems below it report that memory ran out.
_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate", "Cannot allocate memory", "MemoryError", "mmap")

_WEBGPU_PACKAGE, _WEBGPU_NAME = "onnxruntime_ep_webgpu", "WebGpuExecutionProvider"
_OLDEST_WEBGPU = (0, 4)  # older versions read keys and values that the same pass has overwritten
_SUFFIX = "ExecutionProvider"
_NO_ADAPTER = "Failed to get a WebGPU adapter"

_pool_threads: int | None = None
_passing: set[int] = set()
"""Identifiers of the threads that are running a pass."""
_left_behind: str | None = None
"""In a forked process: what sessions opened before the fork need, and the fork did not copy."""


class GuardedSession:
    """An onnxruntime session that a forked process may not run where its threads stayed in the parent.

    A pass there would wait for ever for a thread, or for a lock that a thread held.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def get_inputs(self) -> Sequence[Any]:
        """Return the declared inputs of the graph."""
        return list(self._session.get_inputs())

    def get_outputs(self) -> Sequence[Any]:
        """Return the declared outputs of the graph."""
        return list(self._session.get_outputs())

    def assigned_providers(self) -> set[str]:
        """Return onnxruntime's names of the providers that run nodes; needs a session that records them."""
        return {part.ep_name for part in self._session.get_provider_graph_assignment_info()}

    def get_providers(self) -> Sequence[str]:
        """Return onnxruntime's names of the providers in use, the preferred one first."""
        return list(self._session.get_providers())

    def io_binding(self) -> Any:
        """Return a new, empty binding."""
        return self._session.io_binding()

    def metadata(self) -> Mapping[str, str]:
        """Return what the graph's metadata says, by key."""
        metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        return metadata

    def run_with_iobinding(self, binding: Any) -> None:
        """Run one pass.

        Raises `EdgedraftError` where it fails, and in a forked process that lacks what the pass needs.
        """
        _require_own_threads()
        thread = threading.get_ident()
        _passing.add(thread)
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's exception classes are not importable by name
            raise EdgedraftError("a pass failed in ONNX Runtime", got=first_line(error)) from error
        finally:
            _passing.discard(thread)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OpenedSession:
    """A session, and ``on_device(shape, dtype)``, which allocates a value in its device's own memory.

    ``on_device`` is None where the device computes in the system's memory.
    """

    session: GuardedSession
    on_device: Callable[[tuple[int, ...], npt.DTypeLike], Any] | None = None


def available_providers() -> dict[str, str]:
    """Map the short names of the installed execution providers to onnxruntime's own names.

    `webgpu` comes in a package of its own, and is listed when that is installed; opening a session shows if a GPU is
    there.
    """
    names = (name for name in onnxruntime.get_available_providers() if name.endswith(_SUFFIX))
    built_in = {name.removesuffix(_SUFFIX).lower(): name for name in names if name != _WEBGPU_NAME}
    return built_in | {WEBGPU: _WEBGPU_NAME} if importlib.util.find_spec(_WEBGPU_PACKAGE) else built_in


def share_thread_pool(threads: int) -> None:
    """Set the size of the one thread pool that all sessions of the process share.

    With a pool each, target and drafter fight over the cores when they alternate. ONNX Runtime fixes the size when the
    first session opens, so a later call with another size raises `EdgedraftError`.
    """
    global _pool_threads
    _require_own_threads()
    if _pool_threads is None:
        onnxruntime.set_global_thread_pool_sizes(threads, 1)
        _pool_threads = threads
    require(
        _pool_threads == threads,
        f"this process already runs with {_pool_threads} threads",
        got=threads,
        remedy="start a new process to change the number of threads",
    )


def pool_threads() -> int | None:
    """Return the size of the process's thread pool, None before the first session has fixed it."""
    return _pool_threads


def _note_fork() -> None:
    """Record in a forked child what it lacks; a pool of one thread is no loss, as passes run on the caller's thread."""
    global _left_behind
    if _pool_threads is not None and _pool_threads > 1:
        _left_behind = f"its parent's pool of {_pool_threads} threads"
    elif _register_webgpu.cache_info().currsize:
        _left_behind = "its parent's GPU"
    elif _passing:
        _left_behind = "a fork while a pass ran"
    _passing.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def _require_own_threads() -> None:
    """Raise `EdgedraftError` in a forked process whose sessions need what only its parent has."""
    require(
        _left_behind is None,
        "a forked process cannot use ONNX Runtime where threads or a GPU stay with its parent",
        got=_left_behind,
        remedy="fork before the first bundle is opened, start processes by spawn, or open bundles with threads=1",
    )


def open_session(
    path: Path, provider: str, *, alone: bool = False, operators: Path | None = None, prepack: bool = True
) -> OpenedSession:
    """Open the graph in ``path`` on ``provider``; with ``alone`` the CPU may not run nodes that the provider lacks.

    ``operators`` is a library whose operators take the place of the built-in ones of the same name. With ``prepack``
    weights are copied into the layouts that the operators read fastest.

    Raises `EdgedraftError` when a package, a driver or memory is missing, or the graph cannot be read.
    """
    known = available_providers()
    if provider == WEBGPU and provider not in known:
        raise MissingExtraError(_WEBGPU_PACKAGE, WEBGPU)
    require(
        provider in known,
        f"provider: this onnxruntime offers {', '.join(sorted(known))}",
        got=provider,
        remedy="choose one of these or install the onnxruntime build that has it",
    )
    require_own_data(path)
    options = onnxruntime.SessionOptions()
    options.use_per_session_threads = False
    options.log_severity_level = _NO_LOG
    if alone and provider != CPU:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if not prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    if operators is not None:
        options.register_custom_ops_library(str(operators))
    if provider == WEBGPU:
        return _opened_on_webgpu(path, options)
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    started = time.perf_counter()
    session = _session(path, options, [known[provider]])
    _require_running(path, provider, known[provider], session)
    _LOG.info("%s: opened on %s in %.2f s", path, provider, time.perf_counter() - started)
    return OpenedSession(session=session)


def _require_running(path: Path, provider: str, name: str, session: GuardedSession) -> None:
    """Refuse a session that the CPU would run instead of the provider asked for: ONNX Runtime falls back in silence."""
    running = {each.removesuffix(_SUFFIX).lower() for each in session.assigned_providers()}
    got = f"{', '.join(sorted(running)) or 'nothing'} instead"
    rule = f"{path}: provider {provider}: ONNX Runtime runs no part of this graph on it"
    remedy = "its driver or libraries may be missing: edgedraft doctor tries every provider"
    require(name in session.assigned_providers() or not running, rule, got=got, remedy=remedy)
    require(name in session.get_providers(), rule, got=got, remedy=remedy)


def _opened_on_webgpu(path: Path, options: "onnxruntime.SessionOptions") -> OpenedSession:
    """Open a session that must run on WebGPU: ONNX Runtime by itself silently falls back to the CPU."""
    device = _webgpu_device()
    options.add_provider_for_devices([device], {})
    session = _session(path, options, None)
    first = session.get_providers()[0]
    require(first == _WEBGPU_NAME, f"{path}: provider webgpu was not taken", got=first)
    memory = device.memory_info(onnxruntime.OrtDeviceMemoryType.DEFAULT)

    def on_device(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, memory_info=memory)

    return OpenedSession(session=session, on_device=on_device)


def _session(path: Path, options: "onnxruntime.SessionOptions", providers: list[str] | None) -> GuardedSession:
    try:
        return GuardedSession(onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0))
    except Exception as error:  # onnxruntime's exception classes are not importable by name
        if _NO_ADAPTER in str(error):
            raise _no_gpu(str(error).partition(_NO_ADAPTER)[2].strip(": \n")) from error
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in _NO_MEMORY):
            remedy = "close other programs, or export a smaller precision"
            raise EdgedraftError(
                f"{path}: not enough memory to open it", got=first_line(error), remedy=remedy
            ) from error
        raise EdgedraftError(f"{path}: ONNX Runtime cannot open it", got=first_line(error)) from error


def _webgpu_device() -> "onnxruntime.OrtEpDevice":
    """Return the plugin's device, which stands for whichever GPU the plugin will take."""
    _register_webgpu()
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == _WEBGPU_NAME]
    if not devices:
        raise _no_gpu()
    version = devices[0].ep_metadata["version"]
    new_enough = tuple(int(part) for part in version.split(".")[:2]) >= _OLDEST_WEBGPU
    oldest = ".".join(map(str, _OLDEST_WEBGPU))
    remedy = MissingExtraError(_WEBGPU_PACKAGE, WEBGPU).remedy
    require(new_enough, f"{_WEBGPU_PACKAGE} must be {oldest} or newer", got=version, remedy=remedy)
    return devices[0]


@cache
def _register_webgpu() -> None:
    """Load the plugin, once per process."""
    try:
        import onnxruntime_ep_webgpu
    except ModuleNotFoundError as error:
        raise MissingExtraError(_WEBGPU_PACKAGE, WEBGPU) from error
    onnxruntime.set_default_logger_severity(_NO_LOG)
    try:
        onnxruntime.register_execution_provider_library(WEBGPU, onnxruntime_ep_webgpu.get_library_path())
    except Exception as error:  # onnxruntime's exception classes are not importable by name
        remedy = "install versions of onnxruntime and onnxruntime-ep-webgpu that fit each other"
        raise EdgedraftError(
            "provider webgpu: the plugin cannot be loaded", got=first_line(error), remedy=remedy
        ) from error


def _no_gpu(reason: str | None = None) -> EdgedraftError:
    devices = vulkan_devices() if sys.platform == "linux" else None
    allowed = os.environ.get(ALLOW_SOFTWARE) == "1"
    return missing_gpu(sys.platform, devices, software_allowed=allowed, reason=reason)
