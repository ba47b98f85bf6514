"""A text without a template gets the special tokens that transformers gives it, and a missing one is noticed."""

import json
import shutil

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from edgedraft.exporter.equality.reference import text_ids
from edgedraft.runtime.text.codec import TextCodec

WORDS = {"<s>": 0, "</s>": 1, "a": 2, "b": 3}


@pytest.fixture
def source(tmp_path):
    """A tokenizer whose texts begin with <s>, as its model was trained."""
    made = Tokenizer(models.WordLevel(WORDS, unk_token="a"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    folder = tmp_path / "source"
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_a_text_has_the_tokens_that_transformers_gives_it(source):
    assert TextCodec(source).encode_prompt("a b") == text_ids(source, "a b") == [0, 2, 3]


def test_a_dropped_first_token_is_noticed(source, tmp_path):
    faulty = shutil.copytree(source, tmp_path / "faulty")
    settings = json.loads((faulty / "tokenizer.json").read_text()) | {"post_processor": None}
    (faulty / "tokenizer.json").write_text(json.dumps(settings))
    assert TextCodec(faulty).encode_prompt("a b") != text_ids(source, "a b")
