"""Counting a model's tokens takes its tokenizer and two configurations, from whatever names the model."""

import json

import pytest

from edgedraft.exporter.models.tokenization import tokenization
from edgedraft.runtime.base.errors import EdgedraftError


def test_a_hugging_face_folder_is_read_without_conversion(tiny_pair, tmp_path):
    found = tokenization(str(tiny_pair.target), tmp_path)
    assert (found.vocab_size, found.end_token_ids) == (1024, (1,))
    assert found.codec.decode(found.codec.encode("def return for")) == "def return for"
    assert not (tmp_path / "onnx").exists()


def test_a_converted_folder_says_the_same(tiny_pair, tiny_opened, tmp_path):
    one, other = (tokenization(str(path), tmp_path) for path in (tiny_pair.target, tiny_opened.target.path))
    assert (other.vocab_size, other.end_token_ids) == (one.vocab_size, one.end_token_ids)
    assert other.codec.fingerprint == one.codec.fingerprint


def test_several_ends_and_a_nested_vocabulary_are_found(tiny_pair, tmp_path):
    folder = tmp_path / "nested"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny_pair.target / name).read_bytes())
    config = {"model_type": "gemma3", "text_config": {"vocab_size": 300, "eos_token_id": 5}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"")
    assert tokenization(str(folder), tmp_path).end_token_ids == (1, 5)  # the tokenizer names 1
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [9, 5]}))
    found = tokenization(str(folder), tmp_path)
    assert (found.vocab_size, found.end_token_ids) == (300, (1, 5, 9))


def test_a_folder_that_does_not_tell_its_end_is_refused(tiny_pair, tmp_path):
    folder = tmp_path / "silent"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes((tiny_pair.target / "tokenizer.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 8}))
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(EdgedraftError, match=r"silent: no eos_token_id in generation_config\.json or config\.json"):
        tokenization(str(folder), tmp_path)
