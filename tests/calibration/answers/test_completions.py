"""The law of the protocol: what is sent decides the answer fully, and what comes back is counted as generated."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.answers.batched import Draws
from edgedraft.calibration.answers.completions import AnswerSpec, Way, answer_ids, request_body
from edgedraft.calibration.answers.retries import PassingError, RefusedError
from edgedraft.calibration.answers.sampling import Question
from edgedraft.calibration.prompts import Prompt
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.sampling import SamplingSettings

END = 1


class CharacterCodec:
    """Every character is a token, its code point the id; id 1 ends a turn and shows as nothing."""

    def encode(self, text):
        return [ord(sign) for sign in text]

    def decode(self, token_ids):
        return "".join(chr(each) for each in token_ids if each != END)

    def render_chat(self, messages, tools=()):
        return "|".join(message["content"] for message in messages) + f"#{len(tools)}:"


CODEC = CharacterCodec()


def wanted(room=100, draws=None, vocab_size=0x110000) -> AnswerSpec:
    return AnswerSpec(limits=Limits(max_new_tokens=room, end_token_ids=(END, 2)), vocab_size=vocab_size, draws=draws)


def question(text="hello", tools=()) -> Question:
    prompt = Prompt(id=f"id {text}", split="rank", messages=({"role": "user", "content": text},), tools=tools)
    return Question(prompt=prompt, prompt_ids=tuple(CODEC.encode(CODEC.render_chat(prompt.messages, tools))))


def sent(way=Way.IDS, asked=None, want=None):
    body = request_body(way, asked or question(), CODEC, want or wanted(), "the model")
    return json.loads(json.dumps(body))


def drawn(seed=0, **settings) -> AnswerSpec:
    return wanted(draws=Draws(settings=SamplingSettings(**settings), seed=seed))


def completion(text="an answer", finish="stop", ids=None, used=9):
    choice = {"text": text, "finish_reason": finish} | ({} if ids is None else {"token_ids": ids})
    return {"choices": [choice], "usage": {"completion_tokens": used}}


# --- what is sent ----------------------------------------------------------------------------------------------------


def test_each_way_sends_the_same_prompt_in_its_own_form():
    tool = {"type": "function", "function": {"name": "look"}}
    asked = question(tools=(tool,))
    assert sent(Way.IDS, asked)["prompt"] == list(asked.prompt_ids)
    text = sent(Way.TEXT, asked)
    assert (text["prompt"], text["add_special_tokens"]) == ("hello#1:", False)
    chat = sent(Way.CHAT, asked)
    assert (chat["messages"], chat["tools"]) == ([{"role": "user", "content": "hello"}], [tool])
    assert "prompt" not in chat
    assert "tools" not in sent(Way.CHAT, question())


@pytest.mark.parametrize("way", list(Way))
def test_without_draws_the_best_token_is_taken(way):
    body = sent(way)
    assert (body["temperature"], body["model"], body["max_tokens"], body["stream"]) == (0, "the model", 100, False)
    assert "seed" not in body


def test_completions_say_every_setting_so_that_no_servers_own_default_counts():
    body = sent(Way.IDS, want=drawn())
    neutral = {"top_k": -1, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "repeat_penalty": 1.0}
    assert {key: body[key] for key in neutral} == neutral


def test_a_strict_chat_server_is_sent_only_what_changes_something():
    protocol = {"model", "max_tokens", "stream", "temperature", "top_p", "messages", "seed"}
    assert set(sent(Way.CHAT, want=drawn())) == protocol
    more = drawn(top_k=5, min_p=0.1, repetition_penalty=1.2, logit_bias={3: -float("inf"), 4: 2.0})
    body = sent(Way.CHAT, want=more)
    assert (body["top_k"], body["min_p"], body["repetition_penalty"], body["repeat_penalty"]) == (5, 0.1, 1.2, 1.2)
    assert body["repeat_last_n"] == len(question().prompt_ids) + 100
    assert body["logit_bias"] == {"3": -100.0, "4": 2.0}


@given(seed=st.integers(0, 2**40), text=st.text(min_size=1, max_size=20))
def test_a_seed_depends_on_the_run_and_the_prompt_alone(seed, text):
    body = sent(asked=question(text), want=drawn(seed))
    assert 0 <= body["seed"] < 2**31
    assert body["seed"] == sent(Way.CHAT, asked=question(text), want=drawn(seed))["seed"]
    assert body["seed"] != sent(asked=question(text), want=drawn(seed + 1))["seed"]
    assert body["seed"] != sent(asked=question(text + "!"), want=drawn(seed))["seed"]


def test_a_server_is_asked_in_a_less_faithful_way_only_for_a_reason():
    steps = {(way, status): way.after(status) for way in Way for status in (400, 401, 404, 405, 422, 501)}
    lower = {key: way for key, way in steps.items() if way}
    assert lower == {
        **{(Way.IDS, status): Way.TEXT for status in (400, 422)},
        **{(way, status): Way.CHAT for way in (Way.IDS, Way.TEXT) for status in (404, 405, 501)},
    }


def test_answers_without_an_end_of_turn_are_refused():
    with pytest.raises(EdgedraftError, match="need an end-of-turn token id, got none"):
        AnswerSpec(limits=Limits(max_new_tokens=3), vocab_size=5)


# --- what comes back -------------------------------------------------------------------------------------------------


@given(text=st.text(st.characters(min_codepoint=32, codec="ascii"), min_size=1), room=st.integers(1, 30))
def test_a_finished_text_is_its_tokens_and_the_end_of_turn_up_to_the_limit(text, room):
    whole = (*CODEC.encode(text), END)
    assert answer_ids(completion(text), question(), CODEC, wanted(room)) == whole[:room]
    assert answer_ids(completion(text, "length"), question(), CODEC, wanted(room)) == whole[:-1][:room]


def test_the_servers_own_ids_count_before_its_text():
    ids = [ord("a"), ord("b"), END]
    assert answer_ids(completion("ab", ids=ids), question(), CODEC, wanted()) == tuple(ids)
    below = completion("ab") | {"__verbose": {"tokens": ids}}
    assert answer_ids(below, question(), CODEC, wanted()) == tuple(ids)
    assert answer_ids(completion("ab", ids=ids[:2]), question(), CODEC, wanted()) == tuple(ids), (
        "the end is added where it lacks"
    )
    assert answer_ids(completion("ab", "length", ids=ids[:2]), question(), CODEC, wanted()) == tuple(ids[:2])


@pytest.mark.parametrize("ids", [[], "text", [1.5], [True], None, {"a": 1}])
def test_ids_that_are_none_leave_the_text_to_count(ids):
    assert answer_ids(completion("ab", ids=ids), question(), CODEC, wanted()) == (ord("a"), ord("b"), END)


def test_a_turn_ends_as_the_turns_of_its_prompt_do():
    """Of several end tokens, the last one in the prompt; the first of all where the prompt shows none."""
    shown = replace(question(), prompt_ids=(5, END, 5, 2, 5))
    assert answer_ids(completion("ab"), shown, CODEC, wanted())[-1] == 2
    assert answer_ids(completion("ab"), question(), CODEC, wanted())[-1] == END
    assert answer_ids(completion("ab", ids=[97, 98, END]), shown, CODEC, wanted())[-1] == END, "what it says counts"


def test_nothing_after_the_end_of_turn_counts():
    assert answer_ids(completion("ab\x02cd"), question(), CODEC, wanted()) == (ord("a"), ord("b"), 2)


def test_a_character_cut_by_the_limit_is_left_out():
    assert answer_ids(completion("ab\ufffd", "length"), question(), CODEC, wanted()) == (ord("a"), ord("b"))
    assert len(answer_ids(completion("ab\ufffd"), question(), CODEC, wanted())) == 4, "a model may write it itself"


def test_a_turn_that_ends_at_once_is_an_answer():
    assert answer_ids(completion("", used=1), question(), CODEC, wanted()) == (END,)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (completion("", used=0), "an empty answer"),
        (completion("", "length", used=1), "an empty answer"),
        (completion("\ufffd", "length"), "an empty answer"),
        (completion(None), "an empty answer"),
        ({"choices": [{"text": ""}]}, "an empty answer"),
        *(
            (data, "an answer without choices: does the address end in /v1?")
            for data in ({}, [], None, "text", {"choices": []}, {"choices": None}, {"choices": ["a"]})
        ),
    ],
)
def test_what_holds_no_answer_may_be_tried_again(data, reason):
    with pytest.raises(PassingError) as error:
        answer_ids(data, question(), CODEC, wanted())
    assert str(error.value) == reason


def test_ids_outside_the_vocabulary_are_refused():
    with pytest.raises(RefusedError, match=r"^token id 120 in an answer, outside the vocabulary of 120$"):
        answer_ids(completion("axb"), question(), CODEC, wanted(vocab_size=120))
    with pytest.raises(RefusedError, match="token id -1 in an answer"):
        answer_ids(completion("", ids=[-1]), question(), CODEC, wanted())


def test_ids_of_another_tokenizer_are_refused():
    with pytest.raises(RefusedError, match="token ids that stand for other text in the target's tokenizer"):
        answer_ids(completion("hello", ids=[104, 105]), question(), CODEC, wanted())


def test_a_chat_answer_is_its_content():
    data = {"choices": [{"message": {"content": "ab", "tool_calls": []}, "finish_reason": "stop"}]}
    assert answer_ids(data, question(), CODEC, wanted()) == (ord("a"), ord("b"), END)


@pytest.mark.parametrize("part", ["tool_calls", "reasoning_content", "reasoning"])
def test_a_chat_answer_that_was_taken_apart_is_refused(part):
    data = {"choices": [{"message": {"content": "ab", part: ["x"]}, "finish_reason": "stop"}]}
    with pytest.raises(RefusedError) as error:
        answer_ids(data, question(), CODEC, wanted())
    assert str(error.value) == f"{part} apart from the text: switch off the server's parser, or serve /completions"
