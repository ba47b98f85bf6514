"""Parsing: every layout of one conversation gives one sample; what is broken is told in one line, without a place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.data import parsing
from edgedraft.calibration.data.parsing import FIELDS, LAYOUTS, parse_entry, parse_json, parse_line, parse_text
from edgedraft.calibration.data.samples import SCORE, Sample
from edgedraft.runtime.base.errors import EdgedraftError

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Two and two?"}
ANSWER = {"role": "assistant", "content": "Four."}
CALL = {"name": "add", "arguments": {"a": 2, "b": 2}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": CALL}]}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}

ONE_OF = "expected one of messages, conversations, conversation, prompt, instruction, turns, text"


def said(entry) -> tuple:
    return parse_entry(entry, 1).messages


def reason(parse, *arguments) -> str:
    with pytest.raises(EdgedraftError) as error:
        parse(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- layouts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        {"messages": [SYSTEM, USER, ANSWER]},
        {"messages": [USER, ANSWER], "system": "Be brief."},
        {"messages": [SYSTEM, USER, ANSWER], "system": "Be brief."},
        {"messages": [SYSTEM, USER, ANSWER], "system": " "},
        {"conversations": [SYSTEM, USER, ANSWER]},
        {"conversation": [SYSTEM, USER, ANSWER]},
        {
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "Two and two?"},
                {"from": "gpt", "value": "Four."},
            ]
        },
        {
            "conversations": [{"from": "user", "value": "Two and two?"}, {"from": "assistant", "value": "Four."}],
            "system": "Be brief.",
        },
        {"messages": [SYSTEM, {"from": "human", "value": "Two and two?"}, ANSWER]},
        {"messages": [SYSTEM, {"role": "user", "content": [{"type": "text", "text": "Two and two?"}]}, ANSWER]},
        {"messages": [SYSTEM, {"role": "user", "content": ["Two and two?"]}, ANSWER]},
        {"messages": [SYSTEM, {**USER, "tool_calls": None, "name": None}, ANSWER]},
        {"prompt": "Two and two?", "completion": "Four.", "system": "Be brief."},
        {"prompt": [SYSTEM, USER], "completion": [ANSWER]},
        {"instruction": "Two and two?", "input": "", "output": "Four.", "system": "Be brief."},
        {"instruction": "Two and two?", "output": "Four.", "system": "Be brief."},
    ],
    ids=lambda entry: json.dumps(entry)[:60],
)
def test_every_layout_of_a_conversation_gives_one_sample(entry):
    wanted = Sample(id="0007", messages=(SYSTEM, USER, ANSWER))
    assert parse_entry(entry, 7) == wanted
    assert parse_json(json.dumps(entry).encode(), 7) == wanted
    assert parse_entry(entry, 7).digest == wanted.digest


def test_what_answers_may_be_missing():
    assert said({"prompt": "Two and two?"}) == (USER,)
    assert said({"instruction": "Two and two?"}) == (USER,)
    assert said({"instruction": "Two and two?", "output": " "}) == (USER,)


def test_alpaca_puts_the_input_below_the_instruction():
    assert said({"instruction": "Add.", "input": "2 and 2"}) == ({"role": "user", "content": "Add.\n\n2 and 2"},)


def test_a_text_is_no_conversation():
    assert parse_entry({"text": " two\nlines\n"}, 1) == Sample(id="0001", text=" two\nlines\n")


def test_parts_are_joined_line_by_line():
    parts = [{"type": "text", "text": "a"}, "b", {"text": "c"}]
    assert said({"messages": [{"role": "user", "content": parts}]})[0]["content"] == "a\nb\nc"
    assert said({"conversations": [{"from": "human", "value": parts}]})[0]["content"] == "a\nb\nc"


@pytest.mark.parametrize("place", range(len(LAYOUTS) - 1))
def test_the_first_layout_of_the_stated_order_is_read(place):
    """With every layout from ``place`` on in one entry, that of ``place`` is read; null counts as absent."""
    values = {
        "messages": [{"role": "user", "content": "messages"}],
        "conversations": [{"from": "human", "value": "conversations"}],
        "conversation": [{"role": "user", "content": "conversation"}],
        "prompt": "prompt",
        "instruction": "instruction",
        "turns": ["turns"],
        "text": "text",
    }
    assert tuple(values) == LAYOUTS
    entry = {name: values[name] if i >= place else None for i, name in reversed(list(enumerate(LAYOUTS)))}
    assert said(entry)[0]["content"] == LAYOUTS[place]


def test_spec_benchs_turns_are_asked_one_after_the_other_under_its_own_id_and_category():
    entry = {"question_id": 81, "category": "writing", "turns": ["Write.", "Shorter."]}
    sample = parse_entry(entry, 3)
    assert (sample.id, sample.category, sample.later_turns) == ("81", "writing", ("Shorter.",))
    assert sample.messages == ({"role": "user", "content": "Write."},)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([], "turns: expected a list of texts"),
        (["a", " "], "turns[1]: expected a text"),
        ([{"role": "user"}], "turns[0]"),
    ],
)
def test_turns_that_are_no_texts_are_refused(turns, reason):
    with pytest.raises(EdgedraftError) as error:
        parse_entry({"turns": turns}, 1)
    assert str(error.value).startswith(reason)


def test_a_number_of_turns_is_the_data_sets_own():
    assert parse_entry({"turns": 3, "text": "t"}, 1).text == "t"


@pytest.mark.parametrize("category", [3, None, "", "x" * 65])
def test_a_category_that_names_nothing_is_passed_over(category):
    assert parse_entry({"prompt": "p", "category": category}, 1).category is None


def test_fields_of_the_data_sets_own_are_passed_over():
    entry = {"prompt": "Two and two?", "source": "x", "score": 0.5, "chosen": [1]}
    assert said(entry) == (USER,)
    assert set(entry) - set(FIELDS) == {"source", "score", "chosen"}


# --- tools -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("speaker", "role"), [(s, "tool") for s in ("tool", "function", "observation")])
def test_sharegpts_tools_keep_their_turns(speaker, role):
    turns = [{"from": "human", "value": "x"}, {"from": speaker, "value": "4", "name": "add"}]
    assert said({"conversations": turns})[1] == {"role": role, "content": "4", "name": "add"}


@pytest.mark.parametrize("speaker", ["function_call", "tool_call"])
def test_sharegpts_calls_become_tool_calls(speaker):
    def turn(value):
        return said({"conversations": [{"from": "human", "value": "x"}, {"from": speaker, "value": value}]})[1]

    assert turn(json.dumps(CALL)) == CALLED
    assert turn(json.dumps([CALL, CALL]))["tool_calls"] == CALLED["tool_calls"] * 2
    for plain in ("add(2, 2)", "4", '{"a": 1}', "[]", '["add"]'):
        assert turn(plain) == {"role": "assistant", "content": plain}


def test_what_a_template_may_ask_for_is_kept():
    answer = {**CALLED, "reasoning_content": "hm", "tool_calls": [{"id": "c1", "function": {"arguments": "{}"}}]}
    result = {"role": "tool", "content": "4", "tool_call_id": "c1", "name": "add"}
    assert said({"messages": [USER, answer, result]}) == (USER, answer, result)
    older = {"role": "assistant", "function_call": {"name": "add", "arguments": "{}"}}
    assert said({"messages": [USER, older]})[1] == {**older, "content": None}


def test_tools_are_kept_in_each_form():
    told = {"prompt": "x", "tools": [TOOL]}
    written = {"prompt": "x", "tools": json.dumps([TOOL])}
    older = {"prompt": "x", "functions": [TOOL["function"]]}
    assert [parse_entry(each, 1).tools for each in (told, written, older)] == [(TOOL,)] * 3
    for none in (None, [], "", " "):
        assert parse_entry({"prompt": "x", "tools": none}, 1).tools == ()


# --- id and split ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given_id", "name"), [("a b", "a b"), (7, "7"), (0, "0"), (None, "0012"), ("", "0012")])
def test_an_entry_is_called_by_its_id_or_its_number(given_id, name):
    assert parse_entry({"id": given_id, "text": "x"}, 12).id == name
    assert parse_entry({"text": "x"}, 12345).id == "12345"


def test_a_split_is_kept():
    assert parse_entry({"text": "x", "split": SCORE}, 1).split == SCORE
    assert parse_entry({"prompt": "x", "split": None}, 1).split is None


# --- bytes -----------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(texts, st.booleans())
def test_any_text_survives_json(text, ascii_only):
    raw = json.dumps({"prompt": text}, ensure_ascii=ascii_only).encode()
    assert parse_json(raw, 1).messages == ({"role": "user", "content": text},)


def test_a_whole_surrogate_pair_is_read():
    assert parse_json(rb'{"text": "\ud83d\ude00"}', 1).text == "\N{GRINNING FACE}"
    assert parse_json(rb'{"text": "\\ud83d"}', 1).text == r"\ud83d"


def test_plain_text_keeps_everything_but_windows_line_ends():
    assert parse_text("ä\r\n\n b \n".encode(), 3) == Sample(id="0003", text="ä\n\n b \n")
    assert parse_line(b" a \r\n", 3) == Sample(id="0003", text=" a ")


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"{", "not valid JSON, got Expecting property name enclosed in double quotes at character 2"),
        (b'{"text": "x"} {', "not valid JSON, got Extra data at character 15"),
        (b'{"text": "x', "not valid JSON, got Unterminated string starting at character 10"),
        (b'{"text": "a\0b"}', "not valid JSON, got Invalid control character at character 12"),
        (rb'{"text": "\ud83d"}', "not valid JSON, got half of a surrogate pair"),
        (b"[" * 200_000, "not valid JSON, got a number too long or lists too deep"),
        (b'{"id": ' + b"9" * 5000 + b"}", "not valid JSON, got a number too long or lists too deep"),
        ('{"text": "ä"}'.encode("latin-1"), "expected UTF-8, got byte 0xe4 at 11"),
    ],
    ids=range(8),
)
def test_broken_json_is_told_with_its_position(raw, wanted):
    assert reason(parse_json, raw, 1) == wanted


def test_broken_text_is_told_with_its_position():
    assert reason(parse_text, b"gr\xf6\xdfer", 1) == "expected UTF-8, got byte 0xf6 at 3"
    assert reason(parse_text, b"a\0b", 1) == "expected text, got a zero byte"


@pytest.mark.parametrize("parse", [parse_json, parse_text, parse_line])
def test_an_entry_beyond_the_limit_is_refused(monkeypatch, parse):
    monkeypatch.setattr(parsing, "LARGEST_ENTRY_BYTES", 1000)
    wanted = "expected at most 1,000 bytes - write shorter entries, one a line"
    raw = json.dumps({"text": "x" * 1000}).encode()
    assert reason(parse, raw, 1) == wanted
    assert parse(json.dumps({"text": "x" * 900}).encode(), 1).text


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ([1], "expected an object, got list"),
        ("text", "expected an object, got str"),
        (None, "expected an object, got NoneType"),
        ({}, f"{ONE_OF}, got no field"),
        ({"prompt": None}, f"{ONE_OF}, got no field"),
        ({"question": "x", "answer": "y"}, f"{ONE_OF}, got answer, question"),
        ({"prompt": " "}, "prompt: expected a text that is not empty, got ' '"),
        ({"prompt": 3}, "prompt: expected a text that is not empty, got 3"),
        ({"prompt": {"a": "b" * 99}}, f"prompt: expected a text that is not empty, got {{'a': '{'b' * 53}…"),
        ({"prompt": "x", "completion": ""}, "completion: expected a text that is not empty, got ''"),
        ({"prompt": []}, "prompt: expected a list of turns, got []"),
        ({"text": ""}, "text: expected a text that is not empty, got ''"),
        ({"text": ["x"]}, "text: expected a text that is not empty, got ['x']"),
        ({"instruction": "", "input": "x"}, "instruction: expected a text that is not empty, got ''"),
        ({"instruction": "x", "input": 3}, "input: expected a text, got 3"),
        ({"instruction": "x", "output": ["y"]}, "output: expected a text, got ['y']"),
        ({"messages": []}, "messages: expected a list of turns, got []"),
        ({"messages": [], "prompt": "x"}, "messages: expected a list of turns, got []"),
        ({"messages": "x"}, "messages: expected a list of turns, got 'x'"),
        ({"messages": ["x"]}, "messages[0]: expected an object, got 'x'"),
        ({"messages": [USER, {"content": "x"}]}, "messages[1]: role: expected a name, got None"),
        ({"messages": [{"role": 1, "content": "x"}]}, "messages[0]: role: expected a name, got 1"),
        ({"messages": [{"role": " ", "content": "x"}]}, "messages[0]: role: expected a name, got ' '"),
        (
            {"messages": [{"role": "user"}]},
            "messages[0]: content: expected a text or a list of text parts, got None",
        ),
        (
            {"messages": [{"role": "user", "content": 3}]},
            "messages[0]: content: expected a text or a list of text parts, got 3",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0]: content[0]: expected a text part, got {'type': 'text'}",
        ),
        (
            {"messages": [{"role": "user", "content": ["a", {"type": "image", "text": "x"}]}]},
            "messages[0]: content[1]: expected a text part, got {'type': 'image', 'text': 'x'}",
        ),
        (
            {"messages": [{"role": "user", "content": ""}]},
            "messages: expected a turn that says something, got empty ones",
        ),
        ({"messages": [SYSTEM]}, "messages: expected a turn that says something, got empty ones"),
        (
            {"conversations": [{"from": "narrator", "value": "x"}]},
            "conversations[0]: from: expected human, gpt, system or tool, got 'narrator'",
        ),
        (
            {"conversations": [{"from": ["gpt"], "value": "x"}]},
            "conversations[0]: from: expected human, gpt, system or tool, got ['gpt']",
        ),
        (
            {"conversations": [{"from": "gpt"}]},
            "conversations[0]: value: expected a text or a list of text parts, got None",
        ),
        (
            {"messages": [SYSTEM, USER], "system": "Be long."},
            "system: expected no other system message than the conversation's own, got 'Be long.'",
        ),
        ({"prompt": "x", "system": 3}, "system: expected a text, got 3"),
        ({"prompt": "x", "tools": {"a": 1}}, "tools: expected a list of objects, got {'a': 1}"),
        ({"prompt": "x", "tools": ["add"]}, "tools: expected a list of objects, got ['add']"),
        ({"prompt": "x", "tools": "add"}, "tools: expected a list of objects, got 'add'"),
        ({"prompt": "x", "functions": "{}"}, "functions: expected a list of objects, got {}"),
        ({"prompt": "x", "id": True}, "id: expected a text or a whole number, got True"),
        ({"prompt": "x", "id": [1]}, "id: expected a text or a whole number, got [1]"),
        ({"prompt": "x", "split": "test"}, "split: expected rank or score, got 'test'"),
        ({"text": "x", "split": ["rank"]}, "split: expected rank or score, got ['rank']"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_broken_entry_is_told_in_one_line(entry, wanted):
    assert reason(parse_entry, entry, 1) == wanted


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("role", "content", "from")), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=3), json_data) | json_data)
def test_whatever_the_data_it_gives_a_sample_or_one_clear_line(entry):
    try:
        sample = parse_entry(entry, 1)
    except EdgedraftError:
        assert reason(parse_entry, entry, 1)
        return
    assert (sample.text is None) == bool(sample.messages)
    assert len(sample.digest) == 64
