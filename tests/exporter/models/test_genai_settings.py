"""genai_config.json made for a foreign graph: tokens and sizes from config.json, names and cache from the graph."""

import json

import onnx_ir as ir
import pytest

from edgedraft.exporter.bundle.retrim import retrim_bundle, retrim_folder
from edgedraft.exporter.bundle.token_order import read_token_order
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.models.genai_settings import MODEL_CONFIG_NAME, genai_settings, model_config
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from tests.plain_llama import Style, save_plain_llama


@pytest.fixture
def made(tiny_pair, tmp_path):
    """Settings made for a plain graph of the tiny target, with changes to its configurations (None: no such file)."""

    def make(changes=None, generation=None, style=None, strike=()):
        save_plain_llama(tiny_pair.target, tmp_path / "model.onnx", style)
        config = json.loads((tiny_pair.target / "config.json").read_text()) | (changes or {})
        kept = {key: value for key, value in config.items() if key not in strike}
        (tmp_path / "config.json").write_text(json.dumps(kept))
        if generation is not None:
            (tmp_path / "generation_config.json").write_text(json.dumps(generation))
        return genai_settings(tmp_path, load_graph(tmp_path / "model.onnx"), "model.onnx")

    return make


def test_the_whole_of_it(made):
    assert made() == {
        "model": {
            "type": "llama",
            "vocab_size": 1024,
            "context_length": 512,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 1,
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "filename": "model.onnx",
                "hidden_size": 128,
                "num_attention_heads": 4,
                "num_hidden_layers": 2,
                "num_key_value_heads": 2,
                "head_size": 32,
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "position_ids": "position_ids",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        "search": {"do_sample": False, "max_length": 512, "past_present_share_buffer": False},
    }


def test_names_are_the_graphs_own(made):
    style = Style(feeds=("input_ids",), past="past_{kind}_{layer}", present="present_{layer}_{kind}")
    decoder = made(style=style)["model"]["decoder"]
    assert decoder["inputs"] == {
        "input_ids": "input_ids",
        "past_key_names": "past_key_%d",
        "past_value_names": "past_value_%d",
    }
    assert decoder["outputs"]["present_key_names"] == "present_%d_key"


def test_a_graph_in_place_shares_its_buffers(made, tiny_opened, tiny_pair):
    found = genai_settings(tiny_pair.target, load_graph(tiny_opened.target.graph), "model.onnx")
    assert found["search"]["past_present_share_buffer"] is True


def test_the_generations_tokens_count(made):
    model = made(changes={"pad_token_id": 9}, generation={"eos_token_id": [5, 3], "bos_token_id": None})["model"]
    assert (model["eos_token_id"], model["bos_token_id"], model["pad_token_id"]) == ([5, 3], 0, 9)


def test_sizes_are_found_by_other_names_and_in_the_text_part(made):
    text = {"n_embd": 128, "n_head": 4, "n_positions": 77}
    strike = ("hidden_size", "num_attention_heads", "max_position_embeddings")
    model = made(changes={"text_config": text, "model_type": "gemma3"}, strike=strike)["model"]
    assert (model["type"], model["context_length"]) == ("gemma3", 77)
    assert (model["decoder"]["hidden_size"], model["decoder"]["num_attention_heads"]) == (128, 4)


@pytest.mark.parametrize(
    ("strike", "rule"),
    [
        ("eos_token_id", "{}: no eos_token_id in config.json - add generation_config.json"),
        (
            "max_position_embeddings",
            "{}/config.json: no max_position_embeddings - give the model's own configuration",
        ),
    ],
)
def test_what_is_missing_is_named(made, tmp_path, strike, rule):
    with pytest.raises(EdgedraftError) as error:
        made(strike=(strike,))
    assert str(error.value) == rule.format(tmp_path)


def test_a_folder_without_configurations_is_refused(tmp_path):
    graph = ir.Model(ir.Graph([], [], nodes=[], opset_imports={"": 18}), ir_version=8)
    with pytest.raises(EdgedraftError) as error:
        genai_settings(tmp_path, graph, "model.onnx")
    assert str(error.value) == f"{tmp_path}: neither genai_config.json nor config.json - give the whole model folder"


def test_a_graph_without_a_past_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"eos_token_id": 1}')
    graph = ir.Model(ir.Graph([], [], nodes=[], opset_imports={"": 18}), ir_version=8)
    with pytest.raises(EdgedraftError) as error:
        genai_settings(tmp_path, graph, "model.onnx")
    assert str(error.value) == f"{tmp_path}: the graph has no past - export a decoder with past"


def test_the_configuration_says_the_same_by_hugging_faces_names():
    decoder = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 1}
    tokens = {"bos_token_id": 5, "eos_token_id": [7, 190], "pad_token_id": 6}
    model = {"type": "qwen2", "vocab_size": 192, "context_length": 4096, "decoder": decoder | {"head_size": 32}}
    assert model_config({"model": model | tokens, "search": {"top_k": 50}}) == {
        "model_type": "qwen2",
        "vocab_size": 192,
        "max_position_embeddings": 4096,
        **tokens,
        "hidden_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 32,
    }


def test_what_the_settings_lack_is_left_out():
    assert model_config({"model": {"type": "gpt2", "decoder": {"head_size": 8}}}) == {
        "model_type": "gpt2",
        "head_dim": 8,
    }


def test_it_agrees_with_the_models_own(tiny_pair, tiny_bundle):
    own = json.loads((tiny_pair.drafter / MODEL_CONFIG_NAME).read_text())
    made = read_json(tiny_bundle / "drafter" / MODEL_CONFIG_NAME)
    assert {name: own.get(name) for name in made} == made | {"pad_token_id": own["pad_token_id"]}


def test_it_stays_when_the_drafter_is_cut_again(tiny_bundle, tiny_opened, tmp_path):
    before = (tiny_bundle / "drafter" / MODEL_CONFIG_NAME).read_bytes()
    manifest = retrim_bundle(tiny_bundle, 128, tmp_path / "smaller", tiny_opened.drafter.path.parent)
    assert (tmp_path / "smaller" / "drafter" / MODEL_CONFIG_NAME).read_bytes() == before
    assert f"drafter/{MODEL_CONFIG_NAME}" in manifest.files
    order = read_token_order(tiny_bundle / "drafter" / "token_order.safetensors")
    retrim_folder(tiny_opened.drafter.path, order.kept(128), tmp_path / "alone")
    assert (tmp_path / "alone" / MODEL_CONFIG_NAME).read_bytes() == before
