"""Tokenizers whose parts could take a machine's memory or time are refused when they are opened."""

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.codec import TextCodec
from edgedraft.runtime.text.tokenizer_limits import library_errors, repeats_repetitions

USUAL = (  # GPT-2, Llama 3, Qwen 2, GPT-4o, DeepSeek, BLOOM, Granite
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*",
    " ?[^(\\s|[.,!?…。，、।۔،])]+",
    r"(?:\r?\n)+(?!\r?\n)",
)
RUNAWAY = (r"(a+)+b", r"(?:a*)*", r"(a|b+){3,}", r"((\w+)\s?)*!", r"([ab]+[(])+", r"(x*){500}")


@pytest.mark.parametrize("pattern", USUAL)
def test_the_expressions_of_known_tokenizers_are_accepted(pattern):
    assert not repeats_repetitions(pattern)


@pytest.mark.parametrize("pattern", RUNAWAY)
def test_repetitions_of_repetitions_are_found(pattern):
    assert repeats_repetitions(pattern)


def saved(folder, **parts):
    tokenizer = Tokenizer(models.BPE(vocab={"a": 0, "b": 1}, merges=[]))
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


HOSTILE = {
    "a long replacement": {"normalizer": normalizers.Replace("a", "b" * 65)},
    "replacements that multiply": {"normalizer": normalizers.Sequence([normalizers.Replace("a", "a" * 9)] * 2)},
    "text between all characters": {"normalizer": normalizers.Replace(Regex(""), "b" * 64)},
    "a long beginning": {"normalizer": normalizers.Prepend("b" * 1025)},
    "a decoder that multiplies": {"decoder": decoders.Replace("a", "a" * 100)},
    "a decoder in a sequence": {"decoder": decoders.Sequence([decoders.Replace("a", "a" * 10)] * 3)},
    "a runaway expression": {"pre_tokenizer": pre_tokenizers.Split(Regex("(a+)+b"), "removed")},
    "a runaway expression inside": {
        "pre_tokenizer": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex("(a*)*b"), "isolated")])
    },
    "a long expression": {"pre_tokenizer": pre_tokenizers.Split(Regex("a" * 4097), "removed")},
}


@pytest.mark.parametrize("parts", HOSTILE.values(), ids=HOSTILE)
def test_a_tokenizer_without_bounds_is_refused(tmp_path, parts):
    with pytest.raises(EdgedraftError, match=r"tokenizer\.json: (normalizer|pre_tokenizer|decoder): .*expected"):
        TextCodec(saved(tmp_path, **parts))


def test_usual_parts_are_accepted(tmp_path):
    parts = [normalizers.NFC(), normalizers.Replace(" ", "▁"), normalizers.Prepend("▁"), normalizers.Replace("``", '"')]
    made = saved(tmp_path, normalizer=normalizers.Sequence(parts), decoder=decoders.Replace("▁", " "))
    assert TextCodec(made).encode("a") == [0]


def test_panics_of_the_library_are_errors_and_interrupts_are_not(tmp_path):
    panic = type("PanicException", (BaseException,), {})
    with (
        pytest.raises(EdgedraftError, match="f: cannot encode, got oh"),
        library_errors(tmp_path / "f", "cannot encode"),
    ):
        raise panic("oh")
    with pytest.raises(KeyboardInterrupt), library_errors(tmp_path / "f", "cannot encode"):
        raise KeyboardInterrupt
