"""Tokenizers are compared by the tokens of their ids, in any format; errors name the tokens that differ."""

import copy
import json
from pathlib import Path

import gguf
import pytest

from edgedraft.exporter.models import pair as pairs
from edgedraft.exporter.models.pair import PairRequest, prepare_pair
from edgedraft.exporter.models.vocabulary import (
    NamedVocabulary,
    gguf_vocabulary,
    named_vocabulary,
    require_all_rows,
    require_one_tokenizer,
)
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.progress import silent
from edgedraft.runtime.base.tokenizer_files import Vocabulary, read_vocabulary
from edgedraft.runtime.onnx.session import SessionSettings

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
THINKING = ["<tool_response>", "</tool_response>", "<think>", "</think>"]


def tokenizer(special: list[str] = SPECIAL, words: str = "sort the list of the words") -> dict:
    """A byte-level tokenizer as the library writes it; special tokens follow the vocabulary, as in Qwen's."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator([words] * 4, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    made.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in special])
    return json.loads(made.to_str())


def model(folder: Path, data: dict, width: int, weights: str = "not read") -> Path:
    """A Hugging Face folder whose weights must not be read."""
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(json.dumps(data))
    (folder / "config.json").write_text(json.dumps({"vocab_size": width, "architectures": ["Qwen2ForCausalLM"]}))
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}" + weights.encode())
    return folder


def gguf_file(path: Path, data: dict, width: int, padding: str = "[PAD{}]") -> Path:
    """The same tokenizer as llama.cpp's converter writes it, with a token for every row."""
    vocabulary = read_vocabulary_of(data)
    tokens = [vocabulary.pieces.get(row, padding.format(row)) for row in range(width)]
    special = {token["content"] for token in data["added_tokens"]}
    kinds = [3 if token in special else 1 if row in vocabulary.pieces else 5 for row, token in enumerate(tokens)]
    made = gguf.GGUFWriter(str(path), "qwen2")
    made.add_tokenizer_model("gpt2")
    made.add_token_list(tokens)
    made.add_token_types(kinds)
    made.add_token_merges([" ".join(pair) for pair in data["model"]["merges"]])
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.close()
    return path


def read_vocabulary_of(data: dict) -> Vocabulary:
    pieces = {number: piece for piece, number in data["model"]["vocab"].items()}
    return Vocabulary(pieces=pieces | {token["id"]: token["content"] for token in data["added_tokens"]})


def edited(data: dict, edit) -> dict:
    changed = copy.deepcopy(data)
    edit(changed)
    return changed


def named(folder: Path, cache: Path) -> NamedVocabulary:
    found = named_vocabulary(str(folder), cache, silent)
    assert found is not None
    return found


def refusal(target: NamedVocabulary, drafter: NamedVocabulary) -> str:
    with pytest.raises(EdgedraftError) as error:
        require_one_tokenizer(target, drafter)
    return str(error.value)


# --- equal -----------------------------------------------------------------------------------------------------------


def merges_as_texts(data):
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]


def nested_pre_tokenizer(data):
    data["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [data["pre_tokenizer"]]}


def normalizer_that_does_nothing_here(data):
    data["normalizer"] = {"type": "NFC"}


def padded_by_the_converter(data):
    size = len(data["model"]["vocab"]) + len(data["added_tokens"])
    data["model"]["vocab"] |= {f"[PAD{row}]": row for row in range(size, size + 9)}


def added_tokens_in_the_vocabulary(data):
    data["model"]["vocab"] |= {token["content"]: token["id"] for token in data["added_tokens"]}


def not_special(data):
    for token in data["added_tokens"]:
        token["special"] = False


SPELLINGS = [
    merges_as_texts,
    nested_pre_tokenizer,
    normalizer_that_does_nothing_here,
    padded_by_the_converter,
    added_tokens_in_the_vocabulary,
    not_special,
]


@pytest.mark.parametrize("edit", SPELLINGS)
def test_a_tokenizer_that_was_saved_again_is_the_same(tmp_path, edit):
    data = tokenizer()
    one, other = model(tmp_path / "one", data, 384), model(tmp_path / "other", edited(data, edit), 320)
    require_one_tokenizer(named(one, tmp_path), named(other, tmp_path))
    require_one_tokenizer(named(other, tmp_path), named(one, tmp_path))


@pytest.mark.parametrize("padding", ["[PAD{}]", "<unused{}>"])
def test_a_gguf_file_and_a_folder_of_one_model_are_one_tokenizer(tmp_path, padding):
    data = tokenizer()
    folder, file = model(tmp_path / "one", data, 320), gguf_file(tmp_path / "one.gguf", data, 320, padding)
    by_file = NamedVocabulary(name="file", vocabulary=gguf_vocabulary(file), width=320)
    require_one_tokenizer(named(folder, tmp_path), by_file)
    require_one_tokenizer(by_file, named(folder, tmp_path))
    if padding.startswith("["):
        assert by_file.vocabulary.fingerprint == read_vocabulary(folder / "tokenizer.json").fingerprint


def test_signs_of_spaces_are_spaces():
    one = NamedVocabulary(name="one", vocabulary=Vocabulary(pieces={0: "▁▁", 1: "▁the"}))
    other = NamedVocabulary(name="other", vocabulary=Vocabulary(pieces={0: "  ", 1: "▁the"}))
    require_one_tokenizer(one, other)


def test_merges_that_follow_from_scores_are_not_compared(tmp_path):
    def fall_back(data):
        data["model"]["byte_fallback"] = True
        data["model"]["merges"].reverse()

    data = edited(tokenizer(), fall_back)
    assert read_vocabulary(model(tmp_path / "one", data, 320) / "tokenizer.json").merges is None


def test_a_placeholder_for_images_beyond_the_rows_of_the_other_model():
    pieces = {0: "a", 1: "b"}
    sees = NamedVocabulary(name="4b", vocabulary=Vocabulary(pieces=pieces | {2: "<image_soft_token>"}), width=64)
    require_one_tokenizer(sees, NamedVocabulary(name="270m", vocabulary=Vocabulary(pieces=pieces), width=2))
    has_row = NamedVocabulary(name="270m", vocabulary=Vocabulary(pieces=pieces), width=3)
    assert "<image_soft_token> (2) of 4b alone" in refusal(sees, has_row)


def test_ids_beyond_a_models_own_rows_mean_nothing():
    one = NamedVocabulary(name="one", vocabulary=Vocabulary(pieces={0: "a", 1: "b"}), width=1)
    require_one_tokenizer(one, NamedVocabulary(name="other", vocabulary=Vocabulary(pieces={0: "a"}), width=1))


# --- different -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 16])
@pytest.mark.parametrize("older_is_target", [True, False])
def test_the_four_tokens_of_a_newer_family_are_named_before_anything_is_converted(
    tmp_path, monkeypatch, padding, older_is_target
):
    older, newer = tokenizer(), tokenizer([*SPECIAL, *THINKING])
    rows = len(older["model"]["vocab"]) + len(SPECIAL)
    folders = [
        model(tmp_path / "qwen2.5", older, rows + padding),
        model(tmp_path / "qwen3", newer, rows + max(padding, len(THINKING))),
    ]
    target, drafter = map(str, folders if older_is_target else reversed(folders))
    monkeypatch.setattr(pairs, "convert", None)
    precisions = {"target_precision": "fp32", "drafter_precision": "fp32"}
    request = PairRequest(target=target, drafter=drafter, **precisions, settings=SessionSettings(threads=1))
    with pytest.raises(EdgedraftError) as error:
        prepare_pair(request, tmp_path / "cache")
    four = ", ".join(f"{token} ({rows + place}) of {tmp_path / 'qwen3'} alone" for place, token in enumerate(THINKING))
    assert str(error.value) == (
        f"target and drafter must share one tokenizer, got 4 tokens that differ: {four} - "
        "choose a drafter of the target's family"
    )


def test_a_row_of_padding_is_not_a_token_at_its_place(tmp_path):
    older, newer = tokenizer(), tokenizer([*SPECIAL, *THINKING])
    file = NamedVocabulary(name="file", vocabulary=gguf_vocabulary(gguf_file(tmp_path / "o.gguf", older, 320)))
    said = refusal(named(model(tmp_path / "newer", newer, 320), tmp_path), file)
    assert all(token in said for token in THINKING)


def swap_pieces(data):
    vocab = data["model"]["vocab"]
    vocab["!"], vocab['"'] = vocab['"'], vocab["!"]


def rename_added(data):
    data["added_tokens"][0]["content"] = "<|stop|>"


def reverse_merges(data):
    data["model"]["merges"].reverse()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (swap_pieces, "2 tokens that differ: 0 is '!' in "),
        (rename_added, "is '<|endoftext|>' in "),
        (reverse_merges, "merges that differ from the 1. on: "),
    ],
)
def test_a_real_difference_is_told(tmp_path, edit, said):
    data = tokenizer()
    one, other = model(tmp_path / "one", data, 320), model(tmp_path / "other", edited(data, edit), 320)
    assert said in refusal(named(one, tmp_path), named(other, tmp_path))


def test_another_family_differs_in_too_many_tokens_to_list():
    one = NamedVocabulary(name="one", vocabulary=Vocabulary(pieces={n: f"a{n}" for n in range(2000)}))
    other = NamedVocabulary(name="other", vocabulary=Vocabulary(pieces={n: f"b{n}" for n in range(2000)}))
    said = refusal(one, other)
    assert "2,000 tokens that differ: 0 is 'a0' in one and 'b0' in other, " in said
    assert " and 1,992 more - " in said
    assert "\n" not in said


# --- where tokenizers are found --------------------------------------------------------------------------------------


def test_a_tokenizer_in_older_files_is_converted_first(tmp_path):
    from transformers import GPT2Tokenizer

    data = tokenizer()
    whole = model(tmp_path / "whole", data, 320)
    older = model(tmp_path / "older", data, 320)
    GPT2Tokenizer(vocab=data["model"]["vocab"], merges=[tuple(each) for each in data["model"]["merges"]])
    (older / "tokenizer.json").unlink()
    (older / "vocab.json").write_text(json.dumps(data["model"]["vocab"]))
    (older / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in data["model"]["merges"]))
    tokens = {str(token["id"]): {**token, "special": True} for token in data["added_tokens"]}
    settings = {"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": tokens, "unk_token": SPECIAL[0]}
    settings |= {"bos_token": SPECIAL[0], "eos_token": SPECIAL[0]}
    (older / "tokenizer_config.json").write_text(json.dumps(settings))
    (older / "config.json").write_text(json.dumps({"vocab_size": 320, "model_type": "gpt2"}))
    require_one_tokenizer(named(whole, tmp_path / "cache"), named(older, tmp_path / "cache"))


def test_a_trimmed_drafter_is_told_by_its_rows(tmp_path):
    folder = model(tmp_path / "one", tokenizer(), 320)
    tokens = max(read_vocabulary(folder / "tokenizer.json").pieces) + 1
    require_all_rows(folder, tokens)
    with pytest.raises(EdgedraftError, match=f"{folder}: the logits must hold all {tokens} tokens, got 64 - give"):
        require_all_rows(folder, 64)


def test_a_gguf_file_without_a_tokenizer_is_refused(tmp_path):
    made = gguf.GGUFWriter(str(tmp_path / "bare.gguf"), "qwen2")
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.close()
    with pytest.raises(EdgedraftError, match="holds no tokenizer"):
        gguf_vocabulary(tmp_path / "bare.gguf")
