"""Every field of a request is read, changes nothing, or is refused by its name."""

import pytest

from edgedraft.runtime.core.options import DecodingOptions
from edgedraft.runtime.serving.openai.errors import ApiError, error_body
from edgedraft.runtime.serving.openai.requests import chat_request, completion_request
from edgedraft.runtime.serving.openai.unsupported import NEUTRAL, WITHOUT_EFFECT

MESSAGES = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def chat(**fields):
    return chat_request({"messages": MESSAGES, **fields})


def refusal(read, data):
    with pytest.raises(ApiError) as caught:
        read(data)
    error = error_body(caught.value)["error"]
    assert error["type"] == "invalid_request_error"
    assert caught.value.status == 400
    return error["param"], error["message"]


def test_what_is_left_out_is_greedy_and_unbounded():
    request = chat()
    assert (request.options, request.max_tokens, request.stop) == (DecodingOptions(), None, ())
    assert (request.stream, request.include_usage, request.scored, request.tools) == (False, False, False, ())
    assert request.messages == tuple(MESSAGES)


def test_every_setting_arrives():
    request = chat(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        min_p=0.05,
        seed=-1,
        repetition_penalty=1.1,
        logit_bias={"7": -5, "9": 0},
        max_completion_tokens=9,
        max_tokens=12,
        stop="END",
        stream=True,
        stream_options={"include_usage": True},
        logprobs=True,
        top_logprobs=2,
        tools=[TOOL],
        tool_choice="auto",
        model="m",
        speculate=False,
    )
    options, settings = request.options, request.options.sampling
    assert (settings.temperature, settings.top_p, settings.top_k, settings.min_p) == (0.5, 0.9, 40, 0.05)
    assert (settings.repetition_penalty, dict(settings.logit_bias)) == (1.1, {7: -5.0})
    assert (options.seed, options.log_probs, options.top_log_probs, options.speculate) == (2**64 - 1, True, 2, False)
    assert (request.max_tokens, request.stop, request.stream, request.include_usage) == (9, ("END",), True, True)
    assert (request.model, request.tools) == ("m", (TOOL,))


def test_greedy_stays_greedy_whatever_filters_and_seed():
    assert chat(temperature=0, top_p=0.9, top_k=5, seed=3).options == DecodingOptions()
    biased = chat(logit_bias={"5": 2}).options.sampling
    assert (biased.temperature, dict(biased.logit_bias)) == (0, {5: 2.0})


def test_no_tool_is_offered_where_none_may_be_called():
    assert chat(tools=[TOOL], tool_choice="none").tools == ()


def test_a_null_counts_as_left_out():
    assert chat(temperature=None, stop=None, logit_bias=None, tools=None, response_format=None) == chat()


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_value_that_changes_nothing_is_taken_and_any_other_refused_by_name(name):
    for value in NEUTRAL[name]:
        assert chat(**{name: value}) == chat()
    param, message = refusal(chat_request, {"messages": MESSAGES, name: {"type": "other"}})
    assert param == name
    assert message.startswith(f"{name}: only ")


@pytest.mark.parametrize("name", sorted(WITHOUT_EFFECT))
def test_fields_without_effect_are_taken(name):
    assert chat(**{name: {"any": [1]}}) == chat()


@pytest.mark.parametrize(
    ("fields", "param", "rule"),
    [
        ({"surprise": 1}, "surprise", "surprise: unknown field"),
        ({"n": 2}, "n", "n: only 1 is supported, got 2"),
        ({"presence_penalty": 0.5}, "presence_penalty", "presence_penalty: only 0 is supported, got 0.5"),
        ({"temperature": "hot"}, "temperature", "temperature: expected a number in 0..100, got 'hot'"),
        ({"temperature": True}, "temperature", "temperature: expected a number in 0..100, got True"),
        ({"temperature": -1}, "temperature", "temperature: expected a number in 0..100, got -1"),
        ({"temperature": 1e-9}, "temperature", "temperature must be 0, or 0.0001 or more, got 1e-09"),
        ({"temperature": 1, "top_p": 0}, "top_p", "top_p must lie above 0 and up to 1, got 0.0"),
        (
            {"top_p": 0.5},
            "top_p",
            "top_p: only drawn tokens are filtered, and answers are greedy without a temperature - give a temperature",
        ),
        ({"max_tokens": 0}, "max_tokens", "max_tokens: expected 1 or more, got 0"),
        ({"max_tokens": 1.5}, "max_tokens", "max_tokens: expected a whole number in -1..2147483647, got 1.5"),
        ({"stream": 1}, "stream", "stream: expected true or false, got 1"),
        ({"stop": [1]}, "stop", "stop: expected a text, or up to 16, of 1..1000 characters, got [1]"),
        ({"stop": [""]}, "stop", "stop: expected a text, or up to 16, of 1..1000 characters, got ['']"),
        ({"logit_bias": {"x": 1}}, "logit_bias", "logit_bias: expected token ids as keys, got {'x': 1}"),
        ({"logit_bias": {"5": "a"}}, "logit_bias.5", "logit_bias.5: expected a number in -1000..1000, got 'a'"),
        ({"logit_bias": [5]}, "logit_bias", "logit_bias: expected an object of at most 1024 token ids and numbers"),
        ({"top_logprobs": 3}, "top_logprobs", "top_logprobs: needs logprobs, got 3 - set logprobs to true"),
        ({"logprobs": 3}, "logprobs", "logprobs: expected true or false, got 3"),
        ({"tools": [{"type": "retrieval"}]}, "tools", "tools[0]: expected a function with a name"),
        ({"tools": {"f": 1}}, "tools", "tools: expected a list of at most 256 objects"),
        ({"tool_choice": "required"}, "tool_choice", "tool_choice: only 'none' or 'auto' is supported"),
        ({"stream_options": {"speed": 1}}, "stream_options.speed", "stream_options.speed: unknown field"),
        ({"stream_options": 1}, "stream_options", "stream_options: expected a JSON object, got 1"),
        ({"response_format": {"type": "json_object"}}, "response_format", "response_format: only {'type': 'text'}"),
        ({"model": 5}, "model", "model: expected a text, got 5"),
        ({"messages": []}, "messages", "messages: expected at least one message"),
        ({"messages": "hi"}, "messages", "messages: expected a list of at most 10000 objects, got 'hi'"),
        ({"messages": [{"content": "x"}]}, "messages", "messages[0]: role: expected a name, got None"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages",
            "messages[0]: content[0]: expected a text part",
        ),
    ],
)
def test_what_is_wrong_is_refused_by_the_fields_name(fields, param, rule):
    found = refusal(chat_request, {"messages": MESSAGES, **fields})
    assert found[0] == param
    assert found[1].startswith(rule)


@pytest.mark.parametrize("data", [None, [], "x", 5])
def test_a_body_that_is_no_object_is_refused(data):
    assert refusal(chat_request, data)[1].startswith("the body: expected a JSON object, got ")


def test_a_completion_takes_text_or_token_ids():
    assert completion_request({"prompt": "abc"}).prompt == "abc"
    assert completion_request({"prompt": ["abc"]}).prompt == "abc"
    assert completion_request({"prompt": [1, 2]}).prompt == (1, 2)
    assert completion_request({"prompt": [[1, 2]]}).prompt == (1, 2)
    assert not completion_request({"prompt": "abc"}).is_chat


@pytest.mark.parametrize("prompt", [None, "", [], ["a", "b"], [[1], [2]], 5, [True], ["a", 1]])
def test_other_prompts_are_refused(prompt):
    param, message = refusal(completion_request, {"prompt": prompt})
    assert param == "prompt"
    assert message.startswith("prompt: expected one text that is not empty, or one list of token ids")


@pytest.mark.parametrize(("asked", "scored", "best"), [(0, True, 0), (3, True, 3), (True, True, 0), (False, False, 0)])
def test_a_completion_asks_for_log_probabilities_by_a_number(asked, scored, best):
    request = completion_request({"prompt": "abc", "logprobs": asked})
    assert (request.scored, request.options.top_log_probs) == (scored, best)


def test_a_completion_knows_no_messages_and_no_tools():
    assert refusal(completion_request, {"prompt": "a", "tools": [TOOL]})[0] == "tools"
    assert refusal(completion_request, {"prompt": "a", "logprobs": 6})[0] == "logprobs"
