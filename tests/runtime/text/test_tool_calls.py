"""Calls are found in an answer's text however it is cut into pieces, and what is no call stays text."""

import json

import pytest

from edgedraft.runtime.text.tool_calls import ToolCall, ToolCallReader, separated, shows_tool_calls

ONE = '<tool_call>\n{"name": "look_up", "arguments": {"key": "é <b>", "n": 1}}\n</tool_call>'
CALL = ToolCall(name="look_up", arguments='{"key": "é <b>", "n": 1}')


def read(pieces):
    reader = ToolCallReader()
    parts = [part for piece in pieces for part in reader.push(piece)] + list(reader.finish())
    text = "".join(part for part in parts if isinstance(part, str))
    return text, [part for part in parts if isinstance(part, ToolCall)]


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (ONE, "", [CALL]),
        (f"I look.\n{ONE}", "I look.", [CALL]),
        (f"{ONE}\n{ONE}\n", "", [CALL, CALL]),
        ("no call < here <tool", "no call < here <tool", []),
        ("an end  \n", "an end  \n", []),
        ("<tool_call>{broken</tool_call> behind", "<tool_call>{broken</tool_call> behind", []),
        ('<tool_call>{"arguments": {}}</tool_call>', '<tool_call>{"arguments": {}}</tool_call>', []),
        ('<tool_call>{"name": "f", "arguments": [1]}</tool_call>', None, []),
        ('<tool_call>{"name": "f"}</tool_call>', "", [ToolCall(name="f", arguments="{}")]),
        ('<tool_call>{"name": "f", "arguments": "{}"}</tool_call>', "", [ToolCall(name="f", arguments="{}")]),
        ('a <tool_call>{"name": "cut"', 'a <tool_call>{"name": "cut"', []),
        ("<tool_call><function=f></function></tool_call>", "<tool_call><function=f></function></tool_call>", []),
    ],
)
def test_calls_and_content_are_told_apart(text, content, calls):
    content = text if content is None else content
    assert separated(text) == (content, calls)
    assert read(list(text)) == (content, calls)
    for cut in range(1, len(text)):
        assert read([text[:cut], text[cut:]]) == (content, calls)


def test_text_that_cannot_begin_a_call_is_not_held_back():
    reader = ToolCallReader()
    assert list(reader.push("hello <b")) == ["hello <b"]
    assert list(reader.push(" and <tool")) == [" and"]
    assert list(reader.push("box>")) == [" <toolbox>"]


def test_a_call_in_a_message_has_an_id_of_its_own():
    one, other = separated(ONE + ONE)[1]
    form = one.json_form()
    assert form == {"id": one.id, "type": "function", "function": {"name": "look_up", "arguments": CALL.arguments}}
    assert json.loads(form["function"]["arguments"]) == {"key": "é <b>", "n": 1}
    assert one.id != other.id


def test_only_a_template_that_shows_calls_makes_the_format_plain():
    assert shows_tool_calls("… <tool_call>{{ call | tojson }}</tool_call>")
    assert not shows_tool_calls("{{ messages }}")
    assert not shows_tool_calls(None)
