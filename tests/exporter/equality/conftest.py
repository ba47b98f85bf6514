"""Tiny models of families whose conversion was once wrong, each saved and built once per run."""

import runpy
import sys
import warnings
from pathlib import Path

import pytest

from edgedraft.exporter.models import convert, equality, float_graph
from edgedraft.exporter.models.processes import ProcessCost
from edgedraft.exporter.models.worker_build import build
from tests.exporter.families import FAMILIES, Family, checkpoint

YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
}
LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
SWITCH = 48
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "original_max_position_embeddings": SWITCH,
    "short_factor": [1.0 + 0.05 * place for place in range(16)],
    "long_factor": [2.0 + 0.5 * place for place in range(16)],
}

MENDED = {
    "Llama, linear": Family(model_type="llama", settings={"rope_parameters": LINEAR}),
    "Llama, YaRN": Family(model_type="llama", settings={"rope_parameters": YARN}),
    "Qwen 3, YaRN": Family(model_type="qwen3", settings={"head_dim": 32, "rope_parameters": YARN}),
    "Mistral, windowed": Family(model_type="mistral", settings={"sliding_window": 32}),
    "Phi 3, windowed": Family(
        model_type="phi3", settings={"original_max_position_embeddings": 256, "sliding_window": 32}
    ),
    "Phi 3.5": Family(
        model_type="phi3", settings={"original_max_position_embeddings": SWITCH, "rope_parameters": LONGROPE}
    ),
    "OLMo": Family(model_type="olmo"),
    "Nemotron": Family(model_type="nemotron", settings={"head_dim": 32}),
    "SmolLM 3, NoPE": Family(model_type="smollm3", settings={"no_rope_layers": [1, 0]}),
    "Gemma 3, linear": Family(
        model_type="gemma3_text",
        settings={
            "head_dim": 32,
            "sliding_window": 32,
            "layer_types": ["sliding_attention", "full_attention"],
            "rope_parameters": {
                "full_attention": {**LINEAR, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
}


@pytest.fixture(scope="package")
def mended(tmp_path_factory):
    """Folders of a corrected family: the model as transformers saves it, and the graph built from it."""
    root = tmp_path_factory.mktemp("mended")

    def make(name: str) -> tuple[Path, Path]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(FAMILIES, name, MENDED[name])
            source = checkpoint(name, root)
        built = root / f"{name}-built"
        if not built.is_dir():
            build(source, built)
        return source, built

    return make


@pytest.fixture(scope="package")
def in_bfloat16(mended, tmp_path_factory):
    """The model of a corrected family saved again in bfloat16, and its graph."""
    root = tmp_path_factory.mktemp("bfloat16")

    def make(name: str) -> tuple[Path, Path]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        source, narrow, built = mended(name)[0], root / name, root / f"{name}-built"
        AutoModelForCausalLM.from_pretrained(source, dtype="bfloat16").save_pretrained(narrow)
        AutoTokenizer.from_pretrained(source).save_pretrained(narrow)
        build(narrow, built)
        return narrow, built

    return make


@pytest.fixture
def in_process(monkeypatch):
    """Runs the conversion's child processes in this process, which has loaded torch already."""

    def run(what, arguments, log, python=None):
        flag, module, *rest = arguments
        assert (flag, python) == ("-m", None)
        monkeypatch.setattr(sys, "argv", [module, *rest])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the module may be loaded already
            runpy.run_module(module, run_name="__main__")
        return ProcessCost(what=what, seconds=0.0, peak_bytes=0)

    for module in (convert, equality, float_graph):
        monkeypatch.setattr(module, "run_python", run)
