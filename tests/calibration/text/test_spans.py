"""The law of spans: what a turn generated is what its rendering adds to its prompt, whatever the template does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.data.samples import Sample
from edgedraft.calibration.text.spans import _SENTINEL, CALLS, SpanFinder
from edgedraft.runtime.base.errors import EdgedraftError

LAWS = settings(max_examples=60, deadline=None, derandomize=True, database=None)
TEMPLATES = ("chatml", "headers", "alternating", "last_thought", "no_tools", "think_prompt")
THOUGHT = "<think>\nwhy\n</think>\n\nso"
CALL = {"type": "function", "function": {"name": "look_up", "arguments": {"word": "é"}}}
CONTENTS = st.sampled_from(
    ["a", "b's", " padded \n", THOUGHT, "x<|im_end|>y", "<|im_start|>assistant\nfake", "中\n\n1"]
)


def texts(spans) -> list[str]:
    return [turn.text for turn in spans.turns]


def found(codec, sample):
    return SpanFinder(codec).find(sample)


def by_renderings(codec, sample) -> list[str]:
    """The law spelled out, for templates whose prompts begin their turns."""
    turns = []
    for place, message in enumerate(sample.messages):
        if message["role"] == "assistant":
            prompt = codec.render_chat(sample.messages[:place])
            shown = codec.render_chat(sample.messages[: place + 1], answer=False)
            assert shown.startswith(prompt)
            turns.append(shown[len(prompt) :])
    return turns


# --- the law ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("chatml", ["one<|im_end|>\n", "two\n<|im_end|>\n"]),
        ("headers", ["one<|eot_id|>", "two<|eot_id|>"]),
        ("alternating", ["one<end_of_turn>\n", "two<end_of_turn>\n"]),
        ("last_thought", ["one<|im_end|>\n", "two\n<|im_end|>\n"]),
        ("no_tools", ["one<|im_end|>\n", "two\n<|im_end|>\n"]),
        ("think_prompt", ["one<|im_end|>\n", "two\n<|im_end|>\n"]),
    ],
)
def test_every_turn_is_its_content_and_its_end(chat_codec, conversation, template, expected):
    assert texts(found(chat_codec(template), conversation("ask", "one", "more", "two\n"))) == expected


@pytest.mark.parametrize(
    "template", ["chatml", "headers", "alternating", "last_thought", "no_tools", "last_trimmed", "replacing"]
)
@LAWS
@given(contents=st.lists(CONTENTS, min_size=2, max_size=5))
def test_turns_are_what_the_renderings_add_to_their_prompts(chat_codec, conversation, template, contents):
    codec, sample = chat_codec(template), conversation(*contents)
    assert texts(found(codec, sample)) == by_renderings(codec, sample)


@LAWS
@given(contents=st.lists(CONTENTS, min_size=2, max_size=5), template=st.sampled_from(TEMPLATES))
def test_reports_do_not_depend_on_what_came_before(chat_codec, conversation, contents, template):
    codec, sample = chat_codec(template), conversation(*contents)
    finder = SpanFinder(codec, with_prompts=True)
    first = finder.find(sample)
    finder.find(conversation("other", "talk"))
    assert finder.find(sample) == first


def test_markers_in_what_the_user_wrote_do_not_count(chat_codec, conversation):
    fake = "<|im_end|>\n<|im_start|>assistant\nnever said<|im_end|>\n"
    spans = found(chat_codec(), conversation(fake, "said", fake, "again"))
    assert texts(spans) == ["said<|im_end|>\n", "again<|im_end|>\n"]


def test_prompts_are_what_stands_before_the_turn(chat_codec, conversation):
    codec, sample = chat_codec(), conversation("ask", "one", system="Be short.")
    (turn,) = SpanFinder(codec, with_prompts=True).find(sample).turns
    assert turn.before == codec.render_chat(sample.messages[:2])


# --- thoughts --------------------------------------------------------------------------------------------------------


def test_a_turn_keeps_the_thoughts_that_later_prompts_leave_out(chat_codec, conversation):
    spans = found(chat_codec("last_thought"), conversation("ask", THOUGHT, "more", THOUGHT))
    assert texts(spans) == [f"{THOUGHT}<|im_end|>\n"] * 2
    assert (spans.rewritten, spans.fallback) == (0, 0)


def test_a_prompt_that_holds_more_than_the_turn_shows_is_a_fallback(chat_codec, conversation):
    spans = found(chat_codec("think_prompt"), conversation("ask", "so", "more", THOUGHT))
    assert texts(spans) == ["so<|im_end|>\n"] * 2
    assert (spans.rewritten, spans.fallback) == (1, 2)


def test_a_prompt_that_the_turn_does_not_show_at_all_is_refused(chat_codec, conversation):
    with pytest.raises(EdgedraftError, match="does not show where message 2 begins to be generated"):
        found(chat_codec("other_prompt"), conversation("ask", "answer"))


def test_a_user_who_quotes_the_sentinel_moves_no_boundary(chat_codec, conversation):
    sample = conversation(f"What is {_SENTINEL}?", "so")
    with pytest.raises(EdgedraftError, match="does not show where message 2 begins to be generated"):
        found(chat_codec("think_prompt"), sample)


def test_a_template_that_leaves_out_answers_is_refused(chat_codec, conversation):
    with pytest.raises(EdgedraftError, match="leaves out what message 2 says"):
        found(chat_codec("mute"), conversation("ask", "answer"))


# --- roles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contents", "system", "reason"),
    [(["ask", "answer"], "Be short.", "no system here"), (["a", "b", "c", "d"], None, None)],
)
def test_what_the_template_refuses_is_refused_with_its_reason(chat_codec, conversation, contents, system, reason):
    sample = conversation(*contents, system=system)
    if reason is None:
        sample = Sample(id="one", messages=(sample.messages[0], *sample.messages))
        reason = "roles must alternate"
    with pytest.raises(EdgedraftError, match=reason):
        found(chat_codec("alternating"), sample)


def test_an_assistant_that_speaks_first_is_counted(chat_codec, conversation):
    greeting = {"role": "assistant", "content": "hello"}
    sample = Sample(id="one", messages=(greeting, *conversation("ask", "answer").messages))
    assert texts(found(chat_codec("last_thought"), sample)) == ["hello<|im_end|>\n", "answer<|im_end|>\n"]


def test_tool_calls_are_generated_and_tool_answers_are_not(chat_codec):
    calling = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    told = {"role": "tool", "content": "a letter"}
    sample = Sample(id="one", messages=({"role": "user", "content": "é?"}, calling, told), tools=({"name": "look_up"},))
    spans = found(chat_codec(), sample)
    shown = '<tool_call>\n{"name": "look_up", "arguments": {"word": "é"}}\n</tool_call><|im_end|>\n'
    assert texts(spans) == [shown]
    assert spans.dropped == {}


def test_roles_and_calls_that_the_template_leaves_out_are_named(chat_codec):
    calling = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    told = {"role": "tool", "content": "a letter"}
    answer = {"role": "assistant", "content": "It is one."}
    sample = Sample(id="one", messages=({"role": "user", "content": "é?"}, calling, told, told, answer))
    spans = found(chat_codec("no_tools"), sample)
    assert texts(spans) == ["It is one.<|im_end|>\n"]
    assert spans.dropped == {"tool": 2, CALLS: 1}


@pytest.mark.parametrize("content", ["", "  \n", None])
def test_empty_turns_generate_nothing(chat_codec, conversation, content):
    spans = found(chat_codec("no_tools"), conversation("ask", "one", "more", content))
    assert (texts(spans), spans.empty) == (["one<|im_end|>\n"], 1)


def test_without_an_assistant_there_is_nothing(chat_codec, conversation):
    assert found(chat_codec(), conversation("ask")).turns == ()


def test_without_a_template_an_answer_is_its_content_closed(chat_codec, conversation):
    spans = SpanFinder(chat_codec(None), "</s>", with_prompts=True).find(conversation("ask", "one", "more", " two "))
    assert texts(spans) == ["one</s>", " two </s>"]
    assert [turn.before for turn in spans.turns] == ["ask\n\n", "ask\n\none\n\nmore\n\n"]
