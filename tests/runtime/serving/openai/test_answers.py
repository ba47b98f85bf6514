"""OpenAI's own client gets the target's own text, whole and streamed, with usage, scores, timings and calls."""

import math

import pytest

from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.engine import DecodingOptions

MESSAGES = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
CALL = '<tool_call>\n{"name": "look_up", "arguments": {"key": "x"}}\n</tool_call>'


@pytest.fixture(scope="module")
def client(small):
    with small.client() as opened:
        yield opened


def chat(client, **options):
    return client.chat.completions.create(model="small", **{"messages": MESSAGES, "max_tokens": 24} | options)


def test_a_whole_answer_is_the_targets_own(small, client):
    answer = chat(client)
    (choice,) = answer.choices
    assert choice.message.content == small.alone(MESSAGES)
    assert (choice.finish_reason, choice.message.role, answer.model, answer.object) == (
        *("length", "assistant", "small"),
        "chat.completion",
    )
    prompt = len(small.engine.codec.encode_chat(MESSAGES))
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (prompt, 24, prompt + 24)


def test_a_stream_is_the_same_text_with_the_origin_of_every_token(small, client):
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    *told, last, usage = chunks
    assert told[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content for chunk in told) == small.alone(MESSAGES)
    assert last.choices[0].finish_reason == "length"
    assert (usage.choices, usage.usage.completion_tokens) == ([], 24)
    origins = [chunk.model_extra["edgedraft"] for chunk in told[1:]]
    ids = [token_id for origin in origins for token_id in origin["token_ids"]]
    drafted = [flag for origin in origins for flag in origin["drafted"]]
    alone = small.engine.generate(MESSAGES, max_new_tokens=24, options=DecodingOptions(speculate=False))
    assert tuple(ids) == alone.token_ids
    assert (
        sum(drafted)
        == usage.model_extra["timings"]["draft_n_accepted"]
        == last.model_extra["timings"]["draft_n_accepted"]
    )
    assert len({chunk.id for chunk in chunks}) == 1


def test_no_usage_is_streamed_unless_asked_for(client):
    assert all(chunk.choices and chunk.usage is None for chunk in chat(client, stream=True))


def test_timings_are_llama_cpps(client):
    first = chat(client, messages=[{"role": "user", "content": "timings, please"}], extra_body={"speculate": True})
    again = chat(client, messages=[{"role": "user", "content": "timings, please"}])
    timings, cached = first.model_extra["timings"], again.model_extra["timings"]
    assert set(timings) == {
        *("cache_n", "prompt_n", "prompt_ms", "prompt_per_token_ms", "prompt_per_second", "predicted_n"),
        *("predicted_ms", "predicted_per_token_ms", "predicted_per_second", "draft_n", "draft_n_accepted"),
    }
    assert timings["prompt_n"] + timings["cache_n"] == first.usage.prompt_tokens
    assert (timings["predicted_n"], timings["prompt_ms"] > 0, timings["predicted_ms"] > 0) == (24, True, True)
    assert 0 <= timings["draft_n_accepted"] <= timings["draft_n"]
    assert (cached["prompt_n"], cached["cache_n"]) == (2, first.usage.prompt_tokens - 2)
    assert again.usage.prompt_tokens_details.cached_tokens == cached["cache_n"]


def test_an_answer_ends_before_a_stop_text(small, client):
    whole = small.alone(MESSAGES)
    stop = whole[6:8]
    for answer in (chat(client, stop=stop), chat(client, stop=["never there", stop])):
        assert answer.choices[0].message.content == whole[: whole.index(stop)]
        assert answer.choices[0].finish_reason == "stop"


def test_a_completion_continues_text_and_token_ids(small, client):
    ids = small.engine.codec.encode_prompt("def sort")
    alone = "".join(
        piece.text for piece in small.engine.pieces(ids, max_new_tokens=16, options=DecodingOptions(speculate=False))
    )
    for prompt in ("def sort", ids):
        answer = client.completions.create(model="small", prompt=prompt, max_tokens=16)
        assert (answer.choices[0].text, answer.object) == (alone, "text_completion")
    streamed = client.completions.create(model="small", prompt="def sort", max_tokens=16, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == alone


def test_log_probabilities_are_the_targets(small, client):
    options = DecodingOptions(speculate=False, log_probs=True, top_log_probs=3)
    alone = small.engine.generate(MESSAGES, max_new_tokens=24, options=options)
    whole = chat(client, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    chunks = list(chat(client, logprobs=True, top_logprobs=3, stream=True))
    streamed = [each for chunk in chunks if chunk.choices[0].logprobs for each in chunk.choices[0].logprobs.content]
    for scores in (whole, streamed):
        assert [score.logprob for score in scores] == pytest.approx(list(alone.log_probs), abs=1e-6)
        for score in scores:
            best = score.top_logprobs
            assert (len(best), best[0].token, best[0].logprob) == (3, score.token, score.logprob)
            assert sum(math.exp(each.logprob) for each in best) <= 1
            assert score.bytes is None or bytes(score.bytes).decode() == score.token


def test_log_probabilities_of_a_completion_stand_at_their_places(small, client):
    scores = client.completions.create(model="small", prompt="abc", max_tokens=5, logprobs=2).choices[0].logprobs
    assert [len(each) for each in (scores.tokens, scores.token_logprobs, scores.top_logprobs)] == [5, 5, 5]
    assert scores.text_offset == [sum(map(len, scores.tokens[:place])) for place in range(5)]
    for token, value, best in zip(scores.tokens, scores.token_logprobs, scores.top_logprobs, strict=True):
        assert best[token] == pytest.approx(value)


@pytest.mark.parametrize("extra", [{}, {"repetition_penalty": 1.3}])
def test_a_bias_gives_the_same_text_with_drafts_and_without(client, extra):
    bias = {str(token): value for token, value in ((101, 6), (97, -8), (66, 4))}
    texts = [
        chat(client, logit_bias=bias, extra_body={"speculate": speculate, **extra}).choices[0].message.content
        for speculate in (True, False)
    ]
    assert texts[0] == texts[1] != chat(client).choices[0].message.content


def test_a_drawn_answer_repeats_with_its_seed(small, client):
    drawn = [chat(client, temperature=0.9, top_p=0.95, seed=seed).choices[0].message.content for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    options = DecodingOptions(sampling=SamplingSettings(temperature=0.9, top_p=0.95), seed=1)
    assert small.engine.generate(MESSAGES, max_new_tokens=24, options=options).text == drawn[0]


def test_the_model_is_listed(client):
    assert [model.id for model in client.models.list()] == ["small"]
    assert client.models.retrieve("small").model_extra["edgedraft"]["context_length"] == 256


@pytest.fixture(scope="module")
def calling(served, tool_bundle):
    """A server of a model with tools, and a function that decides what it says."""
    with served(tool_bundle) as running:
        decode = running.engine.rounds

        def say(text):
            ids = (*running.engine.codec.encode(text), *running.engine.limits(1).end_token_ids)

            def rounds(*asked, **options):
                next(decode(*asked, **options))
                return iter([Round(token_ids=(token_id,)) for token_id in ids])

            running.engine.rounds = rounds

        yield running, say


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_is_a_call_and_not_text(calling, stream):
    running, say = calling
    say(f"I look it up.\n{CALL}\n{CALL}")
    with running.client() as client:
        answer = chat(client, tools=TOOLS, stream=stream)
        if stream:
            deltas = [chunk.choices[0] for chunk in answer]
            text = "".join(each.delta.content or "" for each in deltas)
            calls = [call for each in deltas for call in each.delta.tool_calls or []]
            assert [call.index for call in calls] == [0, 1]
            finish = deltas[-1].finish_reason
        else:
            text, finish = answer.choices[0].message.content, answer.choices[0].finish_reason
            calls = answer.choices[0].message.tool_calls
    assert (text, finish) == ("I look it up.", "tool_calls")
    assert [(call.function.name, call.function.arguments) for call in calls] == [("look_up", '{"key": "x"}')] * 2
    assert len({call.id for call in calls}) == 2


def test_a_call_is_text_where_no_tool_was_offered(calling):
    running, say = calling
    say(CALL)
    with running.client() as client:
        for options in ({}, {"tools": TOOLS, "tool_choice": "none"}):
            choice = chat(client, **options).choices[0]
            assert (choice.message.content, choice.message.tool_calls, choice.finish_reason) == (CALL, None, "stop")


def test_calls_and_results_of_before_reach_the_template(calling):
    running, say = calling
    say("done")
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"key": "x"}'}}
    talk = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "found it"},
    ]
    with running.client() as client:
        answer = chat(client, messages=talk, tools=TOOLS)
    assert answer.usage.prompt_tokens == len(running.engine.codec.encode_chat(talk, TOOLS))
