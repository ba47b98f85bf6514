"""An EAGLE-3 config.json: its sizes whichever way it is laid out, and one number rewritten with all else untouched."""

import json
from dataclasses import replace

import pytest

from edgedraft.exporter.methods.eagle_config import (
    PAPERS_SIZES,
    EagleConfig,
    read_eagle_config,
    rewrite_draft_vocab_size,
)
from edgedraft.exporter.methods.flops import EagleShape
from edgedraft.runtime.base.errors import EdgedraftError

SIZES = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
SHAPE = EagleShape(hidden=4096, intermediate=14336, heads=32, kv_heads=8, target_vocab_size=128256)
READ = EagleConfig(
    hidden=4096, intermediate=14336, heads=32, kv_heads=8, target_vocab_size=128256, draft_vocab_size=None
)
PLAIN = {"architectures": ["LlamaForCausalLMEagle3"], **SIZES, "rms_norm_eps": 1e-05, "draft_vocab_size": 32000}
NESTED = {"draft_vocab_size": 32000, "transformer_layer_config": {**SIZES, "head_dim": 128}, "torch_dtype": "float32"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.json"


def written(path, data, **options):
    path.write_text(json.dumps(data, **options), encoding="utf-8")
    return path


@pytest.mark.parametrize("data", [PLAIN, NESTED], ids=["plain", "nested"])
def test_sizes_are_read_from_either_layout(path, data):
    config = read_eagle_config(written(path, data))
    assert config == replace(READ, draft_vocab_size=32000)
    assert config.shape(128256) == SHAPE


def test_a_head_that_is_whole_has_no_draft_vocabulary(path):
    for draft in ({}, {"draft_vocab_size": None}):
        assert read_eagle_config(written(path, {**SIZES, **draft})).draft_vocab_size is None


@pytest.mark.parametrize("key", list(PAPERS_SIZES))
def test_a_missing_size_is_filled_as_the_reference_tool_does_and_named(path, key):
    names = {"hidden_size": "hidden", "intermediate_size": "intermediate", "num_attention_heads": "heads"}
    name, own = names.get(key, "kv_heads"), {**SIZES, "hidden_size": 2048, "intermediate_size": 64}
    own |= {"num_attention_heads": 16, "num_key_value_heads": 2}
    for data in ({**own, key: None}, {each: size for each, size in own.items() if each != key}):
        config = read_eagle_config(written(path, data))
        assert (getattr(config, name), config.missing) == (PAPERS_SIZES[key], (key,))
    assert read_eagle_config(written(path, own)).missing == ()


def test_without_a_vocabulary_any_draft_vocabulary_is_written(path):
    assert read_eagle_config(written(path, {**SIZES, "vocab_size": None})).target_vocab_size is None
    rewrite_draft_vocab_size(path, 400_000)
    assert read_eagle_config(path).draft_vocab_size == 400_000


def test_one_number_is_rewritten_and_no_other_byte(path):
    text = (
        '{\r\n\t"hidden_size":4096,  "intermediate_size": 14336,\r\n\t"num_attention_heads" : 32,"vocab_size": 128256'
    )
    text += ',\r\n\t"draft_vocab_size" :  32000, "eps": 1E-5, "name": "Größe \\u00e9", "big": 10000.0\r\n}\r\n\r\n'
    path.write_bytes(text.encode())
    rewrite_draft_vocab_size(path, 13264)
    assert path.read_bytes() == text.replace("32000", "13264").encode()
    assert [file.name for file in path.parent.iterdir()] == ["config.json"]


@pytest.mark.parametrize("data", [PLAIN, NESTED, {"transformer_layer_config": {**SIZES, "draft_vocab_size": 7}}])
@pytest.mark.parametrize("indent", [None, 2, 4])
def test_what_was_read_is_what_was_rewritten(path, data, indent):
    before = written(path, data, indent=indent).read_text()
    rewrite_draft_vocab_size(path, 64)
    assert read_eagle_config(path) == replace(READ, draft_vocab_size=64)
    old = next(str(each["draft_vocab_size"]) for each in (data, *data.values()) if "draft_vocab_size" in each)
    assert path.read_text() == before.replace(f'"draft_vocab_size": {old}', '"draft_vocab_size": 64')


@pytest.mark.parametrize(("indent", "end"), [(None, ""), (2, "\n"), ("\t", "\n")])
def test_a_missing_key_goes_last_and_the_indentation_stays(path, indent, end):
    data = {**SIZES, "name": "Größe", "rope_scaling": None, "eps": 1e-06}
    path.write_text(json.dumps(data, indent=indent, ensure_ascii=False) + end, encoding="utf-8")
    rewrite_draft_vocab_size(path, 512)
    wanted = json.dumps({**data, "draft_vocab_size": 512}, indent=indent, ensure_ascii=False) + end
    assert path.read_text(encoding="utf-8") == wanted


def test_a_key_that_stands_in_another_text_too_is_told_apart(path):
    data = {**PLAIN, "other": {"draft_vocab_size": 5}}
    written(path, data, indent=2)
    rewrite_draft_vocab_size(path, 9)
    assert path.read_text() == json.dumps({**data, "draft_vocab_size": 9}, indent=2)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{nothing", "not valid JSON, got Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[1]", "expected the configuration of an EAGLE-3 drafter, got list"),
        ({**PLAIN, "vocab_size": "many"}, "vocab_size: expected a whole number of 1 or more, got 'many'"),
        ({**PLAIN, "hidden_size": True}, "hidden_size: expected a whole number of 1 or more, got True"),
        ({**PLAIN, "draft_vocab_size": 0}, "draft_vocab_size: expected a whole number of 1 or more, got 0"),
    ],
)
def test_other_files_are_refused(path, content, error):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(EdgedraftError) as raised:
        read_eagle_config(path)
    assert str(raised.value) == f"{path}: {error}"


def test_folders_and_missing_files_are_refused(path):
    with pytest.raises(EdgedraftError, match=r"config\.json: no such file$"):
        read_eagle_config(path)
    with pytest.raises(EdgedraftError) as raised:
        read_eagle_config(path.parent)
    assert str(raised.value) == f"{path.parent}: expected a file, got a folder - name the config.json in it"


def test_a_size_that_cannot_be_changes_nothing(path):
    before = written(path, PLAIN).read_bytes()
    with pytest.raises(EdgedraftError, match=r"config\.json: draft_vocab_size: expected 1\.\.128256, got 128257$"):
        rewrite_draft_vocab_size(path, 128257)
    assert path.read_bytes() == before
