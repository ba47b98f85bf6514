"""A long talk is fitted into the context: system messages stay, the oldest turns leave first."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.codec import FittedPrompt, fit_conversation

LAWS = settings(max_examples=200, deadline=None, derandomize=True, database=None)
ROLES = {"system": "S", "user": "U", "assistant": "A"}


class LetterCodec:
    """Every letter of a message is a token, with the role's letter before it."""

    def encode_chat(self, messages, tools=()):
        return [ord(letter) for message in messages for letter in ROLES[message["role"]] + message["content"]]


def talk(text):
    """``"S:xx U:y"`` as messages."""
    roles = {letter: role for role, letter in ROLES.items()}
    return [{"role": roles[word[0]], "content": word[2:]} for word in text.split()]


def shown(prompt):
    return "".join(map(chr, prompt.token_ids))


def fitted(text, max_tokens):
    prompt = fit_conversation(LetterCodec(), talk(text), max_tokens)
    return shown(prompt), prompt.dropped_messages


TALK = "S:sys U:one A:two U:three A:four U:five"


@pytest.mark.parametrize(
    ("max_tokens", "text", "dropped"),
    [
        (99, "SsysUoneAtwoUthreeAfourUfive", 0),
        (28, "SsysUoneAtwoUthreeAfourUfive", 0),
        (27, "SsysUthreeAfourUfive", 2),
        (20, "SsysUthreeAfourUfive", 2),
        (19, "SsysUfive", 4),
        (9, "SsysUfive", 4),
    ],
)
def test_the_oldest_turns_leave_first_and_the_system_message_stays(max_tokens, text, dropped):
    assert fitted(TALK, max_tokens) == (text, dropped)


def test_a_last_message_that_does_not_fit_is_refused(raises_exactly):
    remedy = "shorten it or open the bundle with a larger context"
    with raises_exactly(f"the last message must fit into 8 tokens, got 9 - {remedy}"):
        fitted(TALK, 8)
    with raises_exactly(f"the last message must fit into 3 tokens, got 4 - {remedy}"):
        fitted("U:one", 3)


def test_what_is_kept_begins_with_a_user():
    assert fitted("A:hi U:one A:two A:three U:four", 8) == ("Ufour", 4)


def test_a_conversation_that_fits_is_encoded_as_it_stands():
    messages = talk("U:one A:two S:note U:three")
    found = fit_conversation(LetterCodec(), messages, 99)
    assert found == FittedPrompt(token_ids=tuple(LetterCodec().encode_chat(messages)), dropped_messages=0)


def test_a_later_system_message_stays_where_it_was_said():
    assert fitted("S:a U:one A:two U:three S:b A:four U:five", 20) == ("SaUthreeSbAfourUfive", 2)


def test_the_messages_themselves_are_left_alone():
    messages = talk(TALK)
    fit_conversation(LetterCodec(), messages, 9)
    assert messages == talk(TALK)


@LAWS
@given(
    turns=st.lists(st.tuples(st.sampled_from("SUA"), st.text("xyz", max_size=5)), min_size=1, max_size=8),
    max_tokens=st.integers(1, 40),
)
def test_what_is_kept_fits_and_is_the_end_of_the_talk_with_every_system_message(turns, max_tokens):
    messages = talk(" ".join(f"{role}:{content}" for role, content in turns))
    try:
        found = fit_conversation(LetterCodec(), messages, max_tokens)
    except EdgedraftError:
        system = [message for message in messages if message["role"] == "system"]
        assert len(LetterCodec().encode_chat([*system, *last_turn(messages)])) > max_tokens
        return
    assert len(found.token_ids) <= max_tokens
    kept = len(messages) - found.dropped_messages
    system = [message for message in messages if message["role"] == "system"]
    assert sorted(found.token_ids) == sorted(LetterCodec().encode_chat(kept_of(messages, kept - len(system))))


def kept_of(messages, others):
    """The system messages and the last ``others`` of the rest."""
    rest = [message for message in messages if message["role"] != "system"]
    system = [message for message in messages if message["role"] == "system"]
    return [*system, *rest[len(rest) - others :]]


def last_turn(messages):
    """What stays at least: from the last user's message on, or all where none speaks."""
    rest = [message for message in messages if message["role"] != "system"]
    users = [place for place, message in enumerate(rest) if message["role"] == "user"]
    return rest[users[-1] :] if users else rest
