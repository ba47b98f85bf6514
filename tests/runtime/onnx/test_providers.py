"""Providers are those that are installed; the WebGPU plugin is loaded once, checked, and never silently left out."""

import sys
from types import SimpleNamespace

import onnx
import pytest

from edgedraft.runtime.base.provider_names import WEBGPU
from edgedraft.runtime.onnx import providers
from edgedraft.runtime.onnx.providers import available_providers, open_session


class Runtime:
    """As much of onnxruntime as opening a session on the plugin takes."""

    SessionOptions = SimpleNamespace
    OrtDeviceMemoryType = SimpleNamespace(DEFAULT="default")

    def __init__(self, version="0.4.0", first="WebGpuExecutionProvider", fails=None):
        self.fails, self.registered, self.severities = fails, [], []
        self._device = SimpleNamespace(
            ep_name="WebGpuExecutionProvider",
            ep_metadata={"version": version},
            memory_info=lambda kind: f"the device's {kind} memory",
        )
        self._first, self.InferenceSession = first, self.session
        self.OrtValue = SimpleNamespace(
            ortvalue_from_shape_and_type=lambda shape, dtype, memory_info: (shape, dtype, memory_info)
        )

    def get_available_providers(self):
        return ["CPUExecutionProvider", "WebGpuExecutionProvider"]

    def set_default_logger_severity(self, severity):
        self.severities.append(severity)

    def register_execution_provider_library(self, name, path):
        if self.fails:
            raise RuntimeError(self.fails)
        self.registered.append((name, path))

    def get_ep_devices(self):
        return [SimpleNamespace(ep_name="CPUExecutionProvider"), self._device]

    def session(self, path, options, providers, enable_fallback):
        assert (providers, enable_fallback) == (None, 0)
        assert options.taken == ([self._device], {})
        return SimpleNamespace(get_providers=lambda: [self._first, "CPUExecutionProvider"])


@pytest.fixture
def install(monkeypatch):
    """Puts a fake onnxruntime and a fake plugin in the place of the real ones."""

    def put(runtime):
        def options():
            made = SimpleNamespace()
            made.entries = {}
            made.add_session_config_entry = made.entries.__setitem__
            made.add_provider_for_devices = lambda devices, settings: setattr(made, "taken", (devices, settings))
            return made

        runtime.SessionOptions = options
        monkeypatch.setattr(providers, "onnxruntime", runtime)
        plugin = SimpleNamespace(get_library_path=lambda: "plugin.so", __spec__=SimpleNamespace())
        monkeypatch.setitem(sys.modules, "onnxruntime_ep_webgpu", plugin)
        providers._register_webgpu.cache_clear()
        return runtime

    yield put
    providers._register_webgpu.cache_clear()


@pytest.fixture
def graph(tmp_path):
    """The smallest file that can be read as an ONNX graph."""
    onnx.save(onnx.ModelProto(ir_version=8, graph=onnx.GraphProto(name="empty")), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_webgpu_is_listed_exactly_where_its_package_is(install, monkeypatch):
    install(Runtime())
    assert available_providers() == {"cpu": "CPUExecutionProvider", "webgpu": "WebGpuExecutionProvider"}
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_webgpu", None)
    assert available_providers() == {"cpu": "CPUExecutionProvider"}


def test_listing_loads_no_plugin(install):
    runtime = install(Runtime())
    available_providers()
    assert runtime.registered == []


def test_the_plugin_is_registered_once_for_all_sessions(install, graph):
    runtime = install(Runtime())
    for _ in range(3):
        open_session(graph, WEBGPU)
    assert runtime.registered == [("webgpu", "plugin.so")]


def test_values_are_made_in_the_devices_own_memory(install, graph):
    install(Runtime())
    on_device = open_session(graph, WEBGPU).on_device
    assert on_device((1, 2, 3, 4), float) == ((1, 2, 3, 4), float, "the device's default memory")


def test_a_session_that_went_to_the_cpu_is_refused(install, graph, raises_exactly):
    install(Runtime(first="CPUExecutionProvider"))
    with raises_exactly(f"{graph}: provider webgpu was not taken, got CPUExecutionProvider"):
        open_session(graph, WEBGPU)


@pytest.mark.parametrize("version", ["0.3.9", "0.1"])
def test_a_plugin_that_mixes_up_keys_and_values_is_refused(install, graph, version, raises_exactly):
    install(Runtime(version=version))
    remedy = 'pip install "edgedraft[webgpu]"'
    with raises_exactly(f"onnxruntime_ep_webgpu must be 0.4 or newer, got {version} - {remedy}"):
        open_session(graph, WEBGPU)


def test_a_plugin_of_another_runtime_is_told_in_one_line(install, graph, raises_exactly):
    install(Runtime(fails="API version 25 is not known\nsecond line"))
    remedy = "install versions of onnxruntime and onnxruntime-ep-webgpu that fit each other"
    with raises_exactly(f"provider webgpu: the plugin cannot be loaded, got API version 25 is not known - {remedy}"):
        open_session(graph, WEBGPU)


class WithCuda(Runtime):
    """An onnxruntime that lists CUDA; ``names`` are a session's providers, ``running`` those that run its nodes."""

    def __init__(self, names, running):
        super().__init__()
        self._names, self._running = names, running

    def get_available_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def session(self, path, options, providers, enable_fallback):
        assert (providers, options.entries) == (
            ["CUDAExecutionProvider"],
            {"session.record_ep_graph_assignment_info": "1"},
        )
        parts = [SimpleNamespace(ep_name=name) for name in self._running]
        return SimpleNamespace(get_providers=lambda: self._names, get_provider_graph_assignment_info=lambda: parts)


CUDA_AND_CPU = ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize("running", [CUDA_AND_CPU, ["CUDAExecutionProvider"], []], ids=["most", "all", "no nodes"])
def test_a_provider_that_runs_is_taken(install, graph, running):
    install(WithCuda(CUDA_AND_CPU, running))
    assert open_session(graph, "cuda").session.get_providers() == CUDA_AND_CPU


@pytest.mark.parametrize("names", [CUDA_AND_CPU, ["CPUExecutionProvider"]], ids=["idle", "not started"])
def test_a_provider_that_was_asked_for_and_runs_nothing_is_refused(install, graph, names, raises_exactly):
    """Without its driver, onnxruntime runs all on the CPU and says so in its log alone."""
    install(WithCuda(names, ["CPUExecutionProvider"]))
    remedy = "its driver or libraries may be missing: edgedraft doctor tries every provider"
    rule = f"{graph}: provider cuda: ONNX Runtime runs no part of this graph on it, got cpu instead"
    with raises_exactly(f"{rule} - {remedy}"):
        open_session(graph, "cuda")
