"""The law of the builder's route: what it makes of a checkpoint says what transformers says, at any context length."""

import numpy as np
import pytest

from edgedraft.exporter.graph.worker_pack import pack_folder
from edgedraft.exporter.models.builder_mends import mend_config
from edgedraft.exporter.models.worker_build import build
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from tests.exporter.families import VOCAB, WINDOW, checkpoint

FULL = {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0}
SLIDING = {"rope_type": "default", "rope_theta": 1e4}
TEXT = np.random.default_rng(0).integers(2, VOCAB, 80).tolist()


def by_transformers(folder) -> np.ndarray:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype="float32").eval()
    with torch.no_grad():
        return model(torch.tensor([TEXT])).logits[0].numpy()


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    """Gemma 3, whose layers have a window, rotations of two kinds, and a head that is the embedding."""
    root = tmp_path_factory.mktemp("gemma")
    folder = checkpoint("Gemma 3", root)
    return folder, converted(folder, root, "fp32")


def converted(folder, root, precision):
    """What `convert` has two processes do, in this one."""
    built, packed = root / "built", root / precision
    packed.mkdir()
    build(folder, built)
    pack_folder(built, packed, precision)
    return packed / "model.onnx"


def test_a_context_longer_than_the_window(gemma):
    folder, graph = gemma
    expected = by_transformers(folder)
    model = open_model(graph, SessionSettings(threads=2, context_length=len(TEXT)))
    found = model.read(TEXT[:50]).logits.copy()
    np.testing.assert_allclose(found, expected[:50], atol=0.02)
    model.rewind(30)
    np.testing.assert_allclose(model.read(TEXT[30:]).logits, expected[30:], atol=0.02)


def test_a_context_shorter_than_the_window(gemma):
    folder, graph = gemma
    short = WINDOW - 8
    model = open_model(graph, SessionSettings(threads=2, context_length=short))
    np.testing.assert_allclose(model.read(TEXT[:short]).logits, by_transformers(folder)[:short], atol=0.02)


def test_a_tied_checkpoint_is_packed(tmp_path):
    """What the builder makes of one has no token table: its Gather reads the head's matrix turned round."""
    folder = checkpoint("Qwen 2", tmp_path)
    graph = converted(folder, tmp_path, "int8")
    found = open_model(graph, SessionSettings(threads=2, context_length=len(TEXT))).read(TEXT).logits
    expected = by_transformers(folder)
    agreed = (found.argmax(axis=-1) == expected.argmax(axis=-1)).mean()
    assert agreed > 0.8
    assert np.abs(found - expected).mean() < 0.1 * expected.std()


# --- rotations -------------------------------------------------------------------------------------------------------


BY_KIND = {"full_attention": FULL, "sliding_attention": SLIDING}


def config(kind: str, **settings: object):
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[kind](**settings)


def test_gemma_3_gets_both_bases_where_the_builder_looks():
    text = config("gemma3_text", rope_parameters=BY_KIND)
    for _ in range(2):
        mend_config(text)
        assert (text.rope_parameters, text.rope_local_base_freq) == (FULL, 1e4)


def test_the_text_part_of_a_gemma_3_that_sees_gets_them_too():
    whole = config("gemma3", text_config={"rope_parameters": BY_KIND})
    mend_config(whole)
    assert (whole.text_config.rope_parameters, whole.text_config.rope_local_base_freq) == (FULL, 1e4)
    assert not hasattr(whole, "rope_local_base_freq")


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_other_models_are_left_alone(kind):
    rope = {**FULL, "original_max_position_embeddings": 64}
    other, same = config(kind, rope_parameters=rope), config(kind, rope_parameters=rope)
    mend_config(other)
    assert other.to_dict() == same.to_dict()


@pytest.mark.parametrize(
    ("kind", "settings", "epsilon"),
    [("nemotron", {"norm_eps": 1e-4}, 1e-4), ("phi", {"layer_norm_eps": 1e-3}, 1e-3), ("olmo", {}, 1e-5)],
)
def test_the_epsilon_of_norms_gets_the_name_that_the_builder_knows(kind, settings, epsilon):
    mended = config(kind, **settings)
    mend_config(mended)
    assert mended.rms_norm_eps == epsilon


@pytest.mark.parametrize("kind", ["mistral", "phi3"])
def test_a_window_without_kinds_of_layers_is_that_of_every_layer(kind):
    mended = config(kind, sliding_window=64, num_hidden_layers=3)
    mend_config(mended)
    assert mended.layer_types == ["sliding_attention"] * 3
