"""Families whose conversion was once wrong are now equal to transformers, and planted faults are found."""

import json
import shutil

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.equality.checking import check_configuration, check_weights
from edgedraft.exporter.equality.comparing import compare
from edgedraft.exporter.equality.deviation import REFUSED_ABOVE
from edgedraft.exporter.equality.reference import source_logits
from edgedraft.exporter.equality.result import EqualityResult
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.models.equality import read_equality
from edgedraft.exporter.models.worker_build import build, build_checked
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from tests.exporter.equality.conftest import MENDED

ROUNDING = 1e-4
"""What float32 leaves between two ways to compute the same, as a share of the logits' deviation."""


@pytest.fixture
def with_fault(mended, tmp_path):
    """Plants a fault in the built graph of a family; returns source and graph folders."""

    def plant(name, fault):
        source, built = mended(name)
        faulty = tmp_path / "faulty"
        shutil.copytree(built, faulty)
        model = ir.external_data.load_to_model(load_graph(built / "model.onnx"))
        assert fault(model) > 0
        ir.save(model, faulty / "model.onnx")
        return source, faulty

    return plant


def scale_one_matrix(model) -> int:
    value = next(each for name, each in model.graph.initializers.items() if "layers.1" in name and "o_proj" in name)
    value.const_value = ir.tensor(value.const_value.numpy() * np.float32(1.05), name=value.name)
    return 1


def drop_windows(model) -> int:
    windowed = [node for node in model.graph if "local_window_size" in node.attributes]
    for node in windowed:
        node.attributes["local_window_size"] = ir.AttrInt64("local_window_size", -1)
    return len(windowed)


def drop_rope_factors(model) -> int:
    """The tables that the builder makes if it ignores the factors."""
    angles = np.outer(np.arange(256), 1e4 ** (-np.arange(0, 32, 2) / 32))
    for name, table in (("cos_cache", np.cos(angles)), ("sin_cache", np.sin(angles))):
        value = model.graph.initializers[name]
        assert value.const_value.shape.numpy() == table.shape
        value.const_value = ir.tensor(table.astype(np.float32), name=name)
    return 2


@pytest.mark.parametrize("name", MENDED)
def test_a_mended_family_computes_what_transformers_computes(mended, name):
    assert compare(*mended(name)).share < ROUNDING


@pytest.mark.parametrize("name", ["Llama, linear", "Gemma 3, linear"])
def test_weights_in_bfloat16_are_compared_as_float32_computes_them(in_bfloat16, name):
    """Gemma adds one to its norms and scales embeddings; bfloat16 would round both."""
    assert compare(*in_bfloat16(name)).share < ROUNDING


def test_layers_that_are_widened_one_by_one_compute_what_the_whole_model_does(in_bfloat16):
    source, _ = in_bfloat16("Llama, linear")
    narrow, whole = (source_logits(source, range(2, 40), None, whole=each) for each in (False, True))
    np.testing.assert_array_equal(narrow, whole)


@pytest.mark.parametrize(
    ("name", "fault", "what"),
    [
        ("Llama, linear", scale_one_matrix, "a matrix"),
        ("Mistral, windowed", drop_windows, "a window"),
        ("Phi 3, windowed", drop_windows, "a window"),
        ("Llama, linear", drop_rope_factors, "factors"),
        ("Llama, YaRN", drop_rope_factors, "factors"),
    ],
)
def test_a_planted_fault_is_refused_with_its_size_and_place(with_fault, name, fault, what):
    source, faulty = with_fault(name, fault)
    result = check_weights(source, faulty, EqualityResult(family="Some"))
    assert result.weights.share > REFUSED_ABOVE
    with pytest.raises(EdgedraftError) as error:
        result.require_equal("mine", "try something else")
    assert str(error.value) == (
        "mine: Some: it must be converted into the model that transformers computes, got logits that differ by "
        f"{result.weights.told}; 1% is allowed - try something else"
    )


def test_a_dropped_window_is_seen_where_it_begins_to_matter(with_fault):
    """The first 32 tokens fit in the window; the tokens after them differ."""
    assert compare(*with_fault("Mistral, windowed", drop_windows)).position >= 32


# --- before any weight is read ---------------------------------------------------------------------------------------


def far_off(source, folder):
    """A copy of a model's folder without weights, whose window is longer than a hundred tokens."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = read_json(folder / "config.json")
    (folder / "config.json").write_text(json.dumps({**config, "sliding_window": 4096}))
    return folder


def test_a_window_far_off_is_checked_on_a_tiny_copy(mended, tmp_path):
    folder = far_off(mended("Mistral, windowed")[0], tmp_path / "far")
    assert check_configuration(folder, build, tmp_path / "scratch").configuration.share < ROUNDING
    assert not (tmp_path / "scratch").exists()

    def windowless(weights, output):
        build(weights, output)
        model = ir.external_data.load_to_model(load_graph(output / "model.onnx"))
        assert drop_windows(model) > 0
        ir.save(model, output / "model.onnx")

    found = check_configuration(folder, windowless, tmp_path / "scratch")
    assert found.configuration.share > REFUSED_ABOVE
    assert not found.acceptable


def test_an_architecture_that_the_builder_does_not_know_is_refused_by_its_name(mended, tmp_path):
    """The folder holds no weights: the refusal must come before any is read."""
    folder = far_off(mended("OLMo")[0], tmp_path / "unknown")
    config = read_json(folder / "config.json")
    other = {**config, "model_type": "olmo2", "architectures": ["Olmo2ForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(other))
    build_checked(folder, tmp_path / "built", tmp_path / "result.json")
    result = read_equality(tmp_path / "result.json")
    with pytest.raises(EdgedraftError) as error:
        result.require_equal("mine", "try --via optimum")
    reason = "The Olmo2ForCausalLM model is not currently supported."
    assert str(error.value) == f"mine: Olmo2ForCausalLM cannot be converted, got {reason} - try --via optimum"
