"""A phone's probe: graphs that a browser can run and a phone can load, and a profile that plans can be made with."""

import hashlib
from dataclasses import replace

import numpy as np
import onnx
import pytest

from edgedraft.devices.fitting import fit_probe
from edgedraft.devices.priors.prior import latency_of
from edgedraft.devices.probing.graphs import FP16
from edgedraft.devices.probing.phone import (
    QUICK,
    WHOLE,
    Naming,
    PhoneCase,
    PhoneProbe,
    phone_profile,
    write_phone_probe,
)
from edgedraft.devices.probing.posted import read_probe
from edgedraft.devices.profile import DeviceProfile
from edgedraft.devices.profile_file import read_profile, write_profile
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import from_plain, to_plain
from edgedraft.runtime.onnx.session import PlainGraph, SessionSettings

WEBGPU_KERNELS = {"MatMul", "MatMulNBits", "SimplifiedLayerNormalization"}
"""Of onnxruntime-web 1.30's WebGPU provider; WebAssembly has those of the CPU, DynamicQuantizeMatMul too."""
ROWS = (1, 2, 3, 4, 5, 8, 16)
OVERHEAD, EACH, PER_BYTE = 4e-4, 2e-5, 1 / 30e9
SHAPE = {1: 1.0, 2: 2.4, 3: 2.5, 4: 1.3, 5: 1.31, 8: 1.4, 16: 1.8}
"""v(rows) as WebGPU's tiles make it: two rows are dearer than sixteen."""


@pytest.fixture(scope="module")
def offered(tmp_path_factory):
    """The whole probe as a phone gets it, and where it lies."""
    folder = tmp_path_factory.mktemp("probe")
    return write_phone_probe(folder, "probe/"), folder


def download_bytes(offered) -> int:
    return sum(case.bytes for case in offered.cases)


def chains(offered):
    return [case for case in offered.cases if case.layers]


# --- graphs ----------------------------------------------------------------------------------------------------------


def test_the_graphs_are_files_that_are_what_is_said_of_them(offered):
    probe, folder = offered
    assert len({case.file for case in probe.cases}) == len(probe.cases) == len(list(folder.iterdir()))
    for case in probe.cases:
        content = (folder / case.file.removeprefix("probe/")).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (case.bytes, case.sha256)
        assert case.half == (case.precision == FP16)


def test_a_phone_loads_less_than_150_megabytes_and_each_pass_reads_much(offered):
    probe, _ = offered
    assert download_bytes(probe) < 150e6
    assert all(14e6 <= case.weight_bytes < 20e6 for case in chains(probe))


def test_one_case_has_next_to_nothing_to_do(offered):
    probe, _ = offered
    empty = [case for case in probe.cases if case.layers == 0]
    assert [(case.file, case.weight_bytes, case.bytes < 10_000) for case in empty] == [("probe/overhead.onnx", 0, True)]


def test_every_precision_of_bundles_comes_in_two_widths(offered):
    widths = {}
    for case in chains(offered[0]):
        widths.setdefault(case.precision, []).append(case.width)
    assert widths == {
        "int4": [1024, 2048],
        "int8": [1024, 2048],
        "int8-dynamic": [1024, 2048],
        "fp32": [1024, 2048],
        "fp16": [2048],
    }


def test_operators_are_those_that_a_browser_has_and_multiply_as_its_bundles_do(offered):
    probe, folder = offered
    for case in probe.cases:
        nodes = onnx.load(folder / case.file.removeprefix("probe/")).graph.node
        kinds = {node.op_type for node in nodes}
        assert kinds <= WEBGPU_KERNELS | ({"DynamicQuantizeMatMul"} if case.precision == "int8-dynamic" else set())
        levels = {a.i for node in nodes for a in node.attribute if a.name == "accuracy_level"}
        assert levels <= {1}


def test_a_chain_runs(offered):
    probe, folder = offered
    (case,) = [case for case in probe.cases if case.file == "probe/int4-2048.onnx"]
    graph = PlainGraph(folder / "int4-2048.onnx", SessionSettings(threads=2, huge_pages=False))
    bound = graph.bind(np.random.default_rng(0).standard_normal((2, case.width), dtype=np.float32))
    bound.run()
    np.testing.assert_allclose(np.square(bound.output()).mean(axis=1), 1, rtol=1e-2)


def test_the_bytes_are_the_same_every_time_so_that_a_phone_keeps_them(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    few = replace(WHOLE, chains=(("int8", 1024),))
    assert write_phone_probe(tmp_path / "one", "p/", few) == write_phone_probe(tmp_path / "other", "p/", few)


def test_the_quick_probe_is_a_tenth_of_the_download(offered, tmp_path):
    assert download_bytes(write_phone_probe(tmp_path, "p/", QUICK)) < download_bytes(offered[0]) / 8


# --- profiles --------------------------------------------------------------------------------------------------------


def small_offer() -> PhoneProbe:
    cases = [
        PhoneCase(
            file=f"probe/{precision}-{width}.onnx",
            bytes=1,
            sha256="0",
            precision=precision,
            width=width,
            layers=layers,
            weight_bytes=14_000_000 + layers,
            half=False,
        )
        for precision in ("int4", "fp32")
        for width, layers in ((1024, 24), (2048, 6))
    ]
    return PhoneProbe(cases=tuple(cases), rows=ROWS, rounds=WHOLE.rounds)


OFFER = small_offer()


def pass_seconds(case: PhoneCase, rows: int) -> float:
    return OVERHEAD + (EACH * case.layers + PER_BYTE * case.weight_bytes) * SHAPE[rows]


def post(providers=("webgpu", "wasm"), noise=lambda: 1.0, rounds=7, **changes):
    """What a page posts of a device that follows the law."""
    steps = [
        {
            "provider": provider,
            "precision": case.precision,
            "threads": 4 if provider == "wasm" else 1,
            "width": case.width,
            "layers": case.layers,
            "weight_bytes": case.weight_bytes,
            "rows": rows,
            "seconds": [pass_seconds(case, rows) * noise() for _ in range(rounds)],
        }
        for provider in providers
        for case in OFFER.cases
        for rows in ROWS
    ]
    device = {
        "name": "Pixel 9",
        "user_agent": "Mozilla/5.0 (Linux; Android 16; Pixel 9)",
        "adapter": "ARM Mali-G715",
        "cores": 8,
        "memory_gigabytes": 8,
        "shader_f16": True,
        "max_buffer_bytes": 2**32,
        "max_binding_bytes": 2**30,
    }
    report = {
        "device": device,
        "onnxruntime": "onnxruntime-web 1.30.0",
        "date": "2026-11-23",
        "seconds": 61.5,
        "steps": steps,
        "overheads": [{"provider": provider, "seconds": [OVERHEAD] * rounds} for provider in providers],
        "skipped": ["webgpu: fp16-2048: no shader-f16"],
    }
    return report | changes


def profile_from(data, naming=None) -> DeviceProfile:
    return phone_profile(read_probe(data), OFFER, naming or Naming())


def test_a_phone_that_follows_the_law_is_found_again():
    profile = profile_from(post())
    assert profile.probe.trusted
    model = fit_probe(profile.probe)
    assert sorted(model.models) == [(p, where) for p in ("fp32", "int4") for where in ("wasm", "webgpu")]
    for where in ("wasm", "webgpu"):
        step = model.of("int4", where)
        assert step.seconds_per_byte == pytest.approx(PER_BYTE, rel=1e-6)
        assert step.overhead_seconds == pytest.approx(OVERHEAD + 130 * EACH, rel=1e-6)


def test_verification_keeps_the_shape_that_was_measured_on_no_line_and_not_ascending():
    step = latency_of(profile_from(post())).of("int4", "webgpu")
    whole = OVERHEAD + 130 * EACH + 1e9 * PER_BYTE
    for rows, v in SHAPE.items():
        assert step.seconds(1e9, rows) == pytest.approx(OVERHEAD + (whole - OVERHEAD) * v, rel=1e-6)
    assert step.verification_cost(4) < step.verification_cost(2) < step.verification_cost(3)


def test_a_gpu_that_is_none_is_told():
    data = post()
    data["device"] |= {"adapter": "google swiftshader", "software_adapter": True}
    found = profile_from(data).gpu.value
    assert found == "google swiftshader, in software, with shader-f16, at most 1024 MiB in a binding"


def test_the_profile_says_whose_it_is_and_survives_its_file(tmp_path):
    profile = profile_from(post())
    assert (profile.id, profile.name, profile.kind, profile.cores) == ("pixel-9", "Pixel 9", "phone", 4)
    assert profile.memory.gigabytes == (8.0,)
    assert profile.gpu.value == "ARM Mali-G715, with shader-f16, at most 1024 MiB in a binding"
    assert profile.cpu.value == "8 cores in Mozilla/5.0 (Linux; Android 16; Pixel 9)"
    assert profile.gpu.source == "edgedraft phone, 2026-11-23, onnxruntime onnxruntime-web 1.30.0"
    assert profile.probe.system == "Pixel 9"
    assert profile.probe.skipped == ("webgpu: fp16-2048: no shader-f16",)
    assert profile.bandwidth.cpu is not None and profile.bandwidth.gpu is not None
    write_profile(tmp_path / "probe.toml", profile)
    assert read_profile(tmp_path / "probe.toml") == profile
    assert from_plain(DeviceProfile, to_plain(profile), "profile") == profile


def test_the_user_names_the_device_and_its_kind():
    profile = profile_from(post(), Naming(name="My tablet (Tensor G4)", kind="board"))
    assert (profile.id, profile.name) == ("my-tablet-tensor-g4", "My tablet (Tensor G4)")
    assert profile.soc == profile.name  # which a prior goes by
    assert profile.kind == "board"


def test_bandwidth_is_of_the_processor_that_reached_it():
    for providers, missing in ((("webgpu",), "cpu"), (("wasm",), "gpu")):
        bandwidth = profile_from(post(providers)).bandwidth
        assert getattr(bandwidth, missing) is None
        best = max(case.weight_bytes / pass_seconds(case, 1) for case in OFFER.cases) / 1e9
        assert bandwidth.peak.gigabytes_per_second == pytest.approx(best, abs=0.005)


def test_without_webassembly_the_cores_are_what_the_browser_says():
    assert profile_from(post(("webgpu",))).cores == 8


def test_a_device_without_webgpu_has_no_gpu_to_tell_of():
    data = post(("wasm",))
    data["device"] |= {"adapter": "", "max_binding_bytes": 0, "memory_gigabytes": None}
    profile = profile_from(data)
    assert profile.gpu is None
    assert profile.memory.gigabytes == ()


def test_noise_and_drift_are_judged_like_those_of_any_probe():
    rng = np.random.default_rng(0)
    noisy = profile_from(post(noise=lambda: float(rng.lognormal(0, 0.4))))
    assert not noisy.probe.trusted
    assert noisy.notes.startswith("Do not trust these figures (a spread above 35%")
    few = profile_from(post(rounds=3))
    assert not few.probe.trusted
    assert "fewer than 5 rounds" in few.notes


def test_medians_and_quartiles_are_of_the_samples():
    data = post()
    data["steps"][0]["seconds"] = [0.005, 0.001, 0.004, 0.002, 0.003]
    step = profile_from(data).probe.steps[0]
    assert (step.seconds_low, step.seconds, step.seconds_high) == (0.002, 0.003, 0.004)


def test_control_characters_reach_neither_file_nor_terminal():
    data = post()
    data["device"] |= {"name": "x\x1b[2Jy\n", "adapter": "a\x00b"}
    data["skipped"] = ["one\ntwo\x1b]0;t\x07", "z" * 10_000]
    profile = profile_from(data)
    assert profile.name == "x [2Jy"
    assert profile.probe.skipped == ("one two ]0;t", "z" * 300)
    assert profile.gpu.value.isprintable()


def changed(steps=None, **changes):
    data = post(**changes)
    for place, fields in (steps or {}).items():
        data["steps"][place] |= fields
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed({3: {"precision": "int3"}}), "results/probe: steps[3]: no such graph was offered, got int3-1024"),
        (changed({3: {"width": 4096}}), "results/probe: steps[3]: no such graph was offered, got int4-4096"),
        (
            changed({0: {"layers": 7}}),
            "results/probe: steps[0]: layers and weight_bytes: expected 24 and 14000024, got (7, 14000024)",
        ),
        (
            changed({0: {"weight_bytes": 10**12}}),
            "results/probe: steps[0]: layers and weight_bytes: expected 24 and 14000024, got (24, 1000000000000)",
        ),
        (
            changed({1: {"rows": 6}}),
            "results/probe: steps[1]: rows: expected one of (1, 2, 3, 4, 5, 8, 16), got 6",
        ),
    ],
)
def test_what_was_not_offered_is_refused(data, message):
    with pytest.raises(EdgedraftError) as error:
        profile_from(data)
    assert str(error.value) == message


def test_a_probe_that_no_plan_can_be_made_with_is_refused_at_once():
    data = post()
    data["steps"] = [step for step in data["steps"] if step["rows"] != 1]
    with pytest.raises(EdgedraftError) as error:
        profile_from(data)
    assert str(error.value) == "probe: expected a one-row step, got [2, 3, 4, 5, 8, 16]"


def test_times_that_no_memory_allows_are_refused():
    data = post()
    data["steps"][0]["seconds"] = [1e-9] * 7
    with pytest.raises(EdgedraftError, match=r"^bandwidth: peak: gigabytes_per_second: expected .*, got 14"):
        profile_from(data)
