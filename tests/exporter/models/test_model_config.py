"""config.json says by Hugging Face's names what the genai settings say, and nothing that they do not."""

import json

from edgedraft.exporter.bundle.retrim import retrim_bundle, retrim_folder
from edgedraft.exporter.bundle.token_order import read_token_order
from edgedraft.exporter.models.model_config import MODEL_CONFIG_NAME, model_config
from edgedraft.runtime.base.files import read_json


def test_the_whole_of_it():
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
