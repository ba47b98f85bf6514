"""On a GPU, greedy decoding at fp32 says what the CPU says, token for token; what is missing is named in one line.

The device is Chromium's software Vulkan driver, so nothing here is about time.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgedraft.__main__ import main
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.engine import DecodingOptions, Engine
from edgedraft.runtime.onnx.missing_gpu import ALLOW_SOFTWARE
from edgedraft.runtime.onnx.providers import available_providers
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from tests.needs import SOFTWARE_GPU, SOFTWARE_GPU_FILE, VULKAN, package, skip_without

CHILD = Path(__file__).with_name("webgpu_child.py")
# Other drivers may have installed layers of their own, and Mesa's prints where no desktop runs.
NO_LAYERS = {"VK_LOADER_LAYERS_DISABLE": "~implicit~"}
SOFTWARE = {"VK_ICD_FILENAMES": str(SOFTWARE_GPU_FILE), ALLOW_SOFTWARE: "1", **NO_LAYERS}

TOKENS = 10
PROMPTS = [np.random.default_rng(size).integers(2, 1024, size).tolist() for size in (7, 12)]
SAMPLED = DecodingOptions(policy="fixed", draft_length=2, sampling=SamplingSettings(temperature=0.8), seed=5)


@pytest.fixture(scope="module")
def child():
    """Runs a job of `webgpu_child` in a process with these environment variables."""
    package("onnxruntime_ep_webgpu", extra="webgpu")
    skip_without(VULKAN, SOFTWARE_GPU)

    def run(what, environment=SOFTWARE, **job):
        clean = {name: value for name, value in os.environ.items() if name not in SOFTWARE}
        ended = subprocess.run(
            [sys.executable, str(CHILD)],
            input=json.dumps({"what": what, **job}),
            capture_output=True,
            text=True,
            env=clean | environment,
            timeout=300,
        )
        assert ended.returncode == 0, ended.stderr
        if environment == SOFTWARE:  # where a driver fails, Dawn prints so
            assert ended.stderr == "", "a library prints nothing, and neither does its plugin"
        return json.loads(ended.stdout)

    return run


@pytest.fixture(scope="module")
def answers(child, tiny_bundle, tiny_opened):
    return child(
        "decoding", bundle=str(tiny_bundle), drafter=str(tiny_opened.drafter.graph), prompts=PROMPTS, tokens=TOKENS
    )


@pytest.fixture(scope="module")
def on_cpu(tiny_bundle, tokens_of):
    """What the CPU answers each prompt with, by options."""
    engine, limits = Engine.open(tiny_bundle, context_length=256), Limits(max_new_tokens=TOKENS)
    return lambda prompt, options: tokens_of(engine.rounds(prompt, limits, options))


@pytest.fixture(scope="module")
def tokens_of():
    return lambda rounds: [token for turn in rounds for token in turn.token_ids]


# --- the same texts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["plain", "trimmed", "mixed", "full"])
def test_greedy_texts_are_the_cpus(answers, on_cpu, way):
    plain = DecodingOptions(policy="plain")
    expected = [on_cpu(prompt, plain) for prompt in PROMPTS]
    assert [answer["ids"] for answer in answers[way]] == expected[: len(answers[way])]
    assert len({token for text in expected for token in text}) > TOKENS, "the texts must vary to mean anything"


@pytest.mark.parametrize("way", ["trimmed", "mixed", "full"])
def test_drafts_were_kept_and_refused(answers, way):
    proposed, accepted = (sum(answer[what] for answer in answers[way]) for what in ("proposed", "accepted"))
    assert 0 < accepted < proposed


def test_the_drafter_drafts_the_same_on_either_side(answers):
    assert answers["mixed"] == answers["trimmed"][:1]


def test_drawn_texts_are_the_cpus_with_the_same_seed(answers, on_cpu):
    assert [answer["ids"] for answer in answers["sampled"]] == [on_cpu(PROMPTS[0], SAMPLED)]


def test_a_memory_on_the_device_is_rewound_by_its_length(answers, tiny_bundle):
    found = answers["memory"]
    model = open_model(tiny_bundle / "target" / "model.onnx", SessionSettings(threads=2, context_length=256))
    first = model.read(PROMPTS[0]).logits.copy()
    model.rewind(0)
    second = model.read(PROMPTS[1]).logits.copy()
    assert (found["provider"], found["length"]) == ("WebGpuExecutionProvider", len(PROMPTS[0]))
    np.testing.assert_allclose(found["rewound"], first[-4:], atol=1e-3)
    np.testing.assert_allclose(found["stepped"], [first[-1], second[-1]], atol=1e-3)
    assert np.abs(first[-1] - second[-1]).max() > 1


# --- what is missing -------------------------------------------------------------------------------------------------

DRIVERS = "your GPU's Vulkan driver (mesa-vulkan-drivers for AMD and Intel, NVIDIA's own for NVIDIA)"
CHECK = "vulkaninfo --summary, of vulkan-tools, lists what is found"
NO_DRIVER = f"provider webgpu: Vulkan finds no driver - install {DRIVERS}; {CHECK}"


def test_a_missing_package_is_named_with_its_extra(ledger_bundle, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_webgpu", None)
    assert "webgpu" not in available_providers()
    command = ["generate", str(ledger_bundle), "hello", "--target-provider", "webgpu"]
    assert main(command) == 2
    expected = 'edgedraft: onnxruntime_ep_webgpu is not installed - pip install "edgedraft[webgpu]"\n'
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("allowed", [{}, {ALLOW_SOFTWARE: "1"}], ids=["software refused", "software allowed"])
def test_a_missing_driver_is_named(child, tiny_opened, allowed):
    environment = {"VK_ICD_FILENAMES": "", **allowed}
    found = child("opening", environment, graph=str(tiny_opened.target.graph), context=256)
    assert found == {"listed": True, "error": NO_DRIVER}


def test_software_is_no_gpu_unless_allowed(child, tiny_opened):
    if list(Path("/sys/class/drm").glob("card*")):
        pytest.skip("ONNX Runtime sees a GPU here, and takes the software driver for it")
    environment = {"VK_ICD_FILENAMES": str(SOFTWARE_GPU_FILE)}
    found = child("opening", environment, graph=str(tiny_opened.target.graph), context=256)["error"]
    rule = "provider webgpu: Vulkan finds no GPU, got software alone: SwiftShader Device (Subzero)"
    assert found == f"{rule} - install {DRIVERS}, or set {ALLOW_SOFTWARE}=1 to try it without a GPU"


def test_a_context_beyond_the_device_is_refused_when_opened(child, tiny_opened):
    graph = str(tiny_opened.target.graph)
    found = child("opening", graph=graph, context=2**23)["error"]
    assert found.startswith(f"{graph}: a pass on webgpu fails, got ")
    assert found.endswith(" - choose a smaller context length or another precision, or the cpu")


# --- plain graphs, as the probe times them ---------------------------------------------------------------------------


@pytest.fixture
def doubling(tmp_path):
    """Builds a file with a graph that doubles its input of ``dtype``."""
    import onnx_ir as ir

    def build(dtype):
        axes = ir.Shape(["rows", 4])
        given, sums = (ir.val(name, dtype, axes) for name in ("given", "sums"))
        node = ir.node("Add", [given, given], outputs=[sums])
        path = tmp_path / f"{dtype.name}.onnx"
        ir.save(ir.Model(ir.Graph([given], [sums], nodes=[node], opset_imports={"": 17}), ir_version=10), path)
        return str(path)

    return lambda name: build(ir.DataType[name])


def test_a_plain_graph_runs_on_the_device(child, doubling):
    found = child("plain_graph", graph=doubling("FLOAT"), width=4, dtype="float32")
    assert found == {"error": None, "output": [[2.0] * 4] * 3}


def test_half_precision_is_refused_where_the_device_lacks_it(child, doubling):
    graph = doubling("FLOAT16")
    found = child("plain_graph", graph=graph, width=4, dtype="float16")["error"]
    assert found.startswith(f"{graph}: a pass on webgpu fails, got ")
    assert "requires f16 but the device does not support it" in found
