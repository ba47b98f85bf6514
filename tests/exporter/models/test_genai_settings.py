"""genai_config.json made for a foreign graph: tokens and sizes from config.json, names and cache from the graph."""

import json

import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.models.genai_settings import genai_settings
from edgedraft.runtime.base.errors import EdgedraftError
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
