"""Texts without a chat template, with the tokenizer's own special tokens; TypeScript adds the same ones."""

import pytest


@pytest.mark.section("prompts")
def test_a_text_with_the_tokenizers_own_special_tokens(case, fallback_codec, fallback_ids):
    codec = fallback_codec(case["adds"], case["settings"])
    assert codec.encode_prompt(case["text"]) == fallback_ids(case["tokens"])
    assert len(codec.encode_prompt(case["text"])) == case["count"]
    if case["text"]:
        assert codec.encode_chat([{"role": "user", "content": case["text"]}]) == fallback_ids(case["tokens"])
