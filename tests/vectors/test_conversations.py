"""Conversations fitted into the context: what TypeScript keeps too."""

import pytest

from edgedraft.runtime.text.codec import FittedPrompt, fit_conversation

ROLES = {"S": "system", "U": "user", "A": "assistant"}


class LetterCodec:
    """Every letter of a message is a token, behind the first letter of its role."""

    def encode_chat(self, messages, tools=()):
        return [ord(letter) for message in messages for letter in message["role"][0].upper() + message["content"]]


@pytest.mark.section("talks")
def test_a_talk_at_both_ends_of_every_step(case, refused):
    messages = [{"role": ROLES[word[0]], "content": word[2:]} for word in case["talk"].split()]
    last = case["steps"][0]["from"]
    for step in case["steps"]:
        text = tuple(ord(letter) for letter in step["text"])
        expected = FittedPrompt(token_ids=text, dropped_messages=step["dropped_messages"])
        assert fit_conversation(LetterCodec(), messages, step["from"]) == expected
        assert fit_conversation(LetterCodec(), messages, last) == expected
        last = step["from"] - 1
    with refused(case["refused"]):
        fit_conversation(LetterCodec(), messages, last)
