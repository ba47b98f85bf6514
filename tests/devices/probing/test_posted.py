"""What is posted is checked key by key: impossible figures, strange names and what is missing are one line each."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.devices.probing.posted import one_line, read_bench, read_probe
from edgedraft.runtime.base.errors import EdgedraftError

DEVICE = {
    "name": "Pixel 9",
    "user_agent": "Mozilla/5.0",
    "adapter": "",
    "cores": 8,
    "memory_gigabytes": None,
    "shader_f16": False,
    "max_buffer_bytes": 0,
    "max_binding_bytes": 0,
}
STEP = {
    "provider": "wasm",
    "precision": "int4",
    "threads": 2,
    "width": 1024,
    "layers": 3,
    "weight_bytes": 5,
    "rows": 1,
    "seconds": [0.5, 1],
}
PROBE = {
    "device": DEVICE,
    "onnxruntime": "onnxruntime-web 1.30.0",
    "date": "2026-11-23",
    "seconds": 3,
    "steps": [STEP],
    "overheads": [{"provider": "wasm", "seconds": [0, 0.001]}],
    "skipped": [],
}
BENCH = {
    "device": DEVICE,
    "onnxruntime": "onnxruntime-web 1.30.0",
    "date": "2026-11-23",
    "provider": {"target": "webgpu", "drafter": "wasm"},
    "report": {"prompts": 3, "max_new_tokens": 8, "ways": {"plain": {"anything": [1]}}},
}


def changed(data, path, value):
    """A copy with the value at the dotted ``path`` changed; None of a key that ends with - takes the key away."""
    data = copy.deepcopy(data)
    *parents, last = path.split(".")
    inner = data
    for name in parents:
        inner = inner[int(name) if name.isdigit() else name]
    if last.endswith("-"):
        del inner[last[:-1]]
    else:
        inner[int(last) if last.isdigit() else last] = value
    return data


def refusal(read, data) -> str:
    with pytest.raises(EdgedraftError) as error:
        read(data)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_good_probe_is_read_as_it_is():
    probe = read_probe(json.loads(json.dumps(PROBE)))
    assert probe.steps[0].seconds == (0.5, 1.0)
    assert probe.overheads[0].seconds == (0.0, 0.001)
    assert (probe.seconds, probe.device.memory_gigabytes) == (3.0, None)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("steps-", None, "missing key steps"),
        ("more", 1, "unknown key, got more"),
        ("device.cores", "8", "device: cores: expected int, got '8'"),
        ("device.cores", True, "device: cores: expected int, got True"),
        ("device.cores", 0, "device: cores: expected 1..4096, got 0"),
        ("device.memory_gigabytes", -1, "device: memory_gigabytes: expected 0.1..4096 or null, got -1.0"),
        ("device.memory_gigabytes", float("inf"), "device: memory_gigabytes: expected a finite number, got inf"),
        ("device.max_buffer_bytes", -1, "device: max_buffer_bytes: expected 0..2**53, got -1"),
        ("date", "yesterday\x1b", "date: expected YYYY-MM-DD, got 'yesterday'"),
        ("seconds", -1, "seconds: expected 0 or more, got -1.0"),
        ("seconds", float("inf"), "seconds: expected a finite number, got inf"),
        ("seconds", 10**400, f"seconds: expected a number of at most 64 bits, got 1{'0' * 59}…"),
        ("steps", [], "steps: expected one or more"),
        ("steps.0.provider", "cuda", "steps[0]: provider: expected one of webgpu, wasm, got 'cuda'"),
        ("steps.0.threads", 0, "steps[0]: threads: expected 1..4096, got 0"),
        ("steps.0.kernels", "avx2", "steps[0]: kernels: a browser has none to name, got 'avx2'"),
        ("steps.0.seconds", [], "steps[0]: seconds: expected 1..1000 samples, got 0"),
        ("steps.0.seconds", [1] * 1001, "steps[0]: seconds: expected 1..1000 samples, got 1001"),
        ("steps.0.seconds", [1, 0], "steps[0]: seconds: expected from 1e-09 to below 3600, got 0.0"),
        ("steps.0.seconds", [1, 5e-324], "steps[0]: seconds: expected from 1e-09 to below 3600, got 5e-324"),
        ("steps.0.seconds", [1, -2.5], "steps[0]: seconds: expected from 1e-09 to below 3600, got -2.5"),
        ("steps.0.seconds", [float("inf")], "steps[0]: seconds[0]: expected a finite number, got inf"),
        ("steps.0.seconds", [float("nan")], "steps[0]: seconds[0]: expected a finite number, got nan"),
        ("steps.0.seconds", [3600], "steps[0]: seconds: expected from 1e-09 to below 3600, got 3600.0"),
        ("steps.0.seconds", ["1"], "steps[0]: seconds[0]: expected float, got '1'"),
        ("steps.0.seconds", 1, "steps[0]: seconds: expected a list, got int"),
        ("overheads.0.provider", "x", "overheads[0]: expected one of webgpu, wasm, got 'x'"),
        ("overheads.0.seconds", [-1], "overheads[0]: seconds: expected 0 or from 1e-09 to below 3600, got -1.0"),
        ("overheads", [{"provider": "wasm", "seconds": [1]}] * 2, "overheads: expected each once, got wasm"),
        ("steps", [STEP, STEP], "steps: expected each once, got ('wasm', 'int4', 1024, 1)"),
        (
            "steps",
            [STEP, STEP | {"rows": 2, "threads": 4}],
            "steps: expected one number of threads on wasm, got [2, 4]",
        ),
    ],
)
def test_an_impossible_probe_is_refused_with_its_key(path, value, message):
    assert refusal(read_probe, changed(PROBE, path, value)) == f"results/probe: {message}"


def test_a_probe_of_nothing_says_why():
    data = PROBE | {"steps": [], "skipped": ["webgpu: no adapter", "wasm: out of memory"]}
    assert refusal(read_probe, data) == (
        "results/probe: steps: expected one or more, got webgpu: no adapter; wasm: out of memory"
    )


@pytest.mark.parametrize("data", [None, 1, "x", [], [PROBE]])
def test_what_is_no_object_is_refused(data):
    for read, where in ((read_probe, "results/probe"), (read_bench, "results/bench")):
        assert refusal(read, data) == f"{where}: expected an object, got {type(data).__name__}"


def test_a_good_bench_is_kept_as_it_is():
    bench = read_bench(BENCH)
    assert bench.report == BENCH["report"]
    assert (bench.provider.target, bench.provider.drafter) == ("webgpu", "wasm")
    assert not bench.device.software_adapter
    assert read_bench(changed(BENCH, "device.software_adapter", True)).device.software_adapter


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("provider.target", "cpu", "provider: target: expected one of webgpu, wasm, got 'cpu'"),
        ("provider.drafter-", None, "provider: missing key drafter"),
        ("report.ways", {}, "report: ways: expected one or more, got dict"),
        ("report.ways", [1], "report: ways: expected one or more, got list"),
        ("report.ways-", None, "report: ways: expected one or more, got NoneType"),
        ("report", [], "report: expected an object, got list"),
        ("date", "", "date: expected YYYY-MM-DD, got ''"),
    ],
)
def test_an_impossible_bench_is_refused_with_its_key(path, value, message):
    assert refusal(read_bench, changed(BENCH, path, value)) == f"results/bench: {message}"


@given(st.text(max_size=400))
def test_foreign_text_becomes_one_short_printable_line(text):
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= 300
    assert line == line.strip()
