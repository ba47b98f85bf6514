"""Calls and tools in any notation reach the model, or an error says that they do not."""

import json

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.chat_template import ChatTemplate
from edgedraft.runtime.text.hidden import hidden_parts, require_shown
from edgedraft.runtime.text.messages import normalized

ARGUMENTS = {"city": "Ghent", "days": [1, 2], "note": 'say "hi" é'}
USER = {"role": "user", "content": "Weather?"}

OBJECTS = (
    "{% for m in messages %}{{ m.role }}:{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %};"
    "{% endfor %}"
)
TEXTS = OBJECTS.replace("{{ c.function.arguments | tojson }}", "{{ c.function.arguments }}")
PASTED = OBJECTS.replace("{{ c.function.arguments | tojson }}", "{{ 'a ' + c.function.arguments }}")
KEYS = OBJECTS.replace(
    "{{ c.function.arguments | tojson }}",
    "{% for key, value in c.function.arguments.items() %}<{{ key }}>{{ value }}{% endfor %}",
)
BLIND = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
WITH_TOOLS = "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}" + OBJECTS


def chat(source):
    return ChatTemplate(source=source, special_tokens={})


def calling(arguments, name="forecast", **more):
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    } | more


def test_arguments_reach_the_template_as_an_object_however_they_are_written():
    written = f"user:Weather?;assistant:<call>forecast {json.dumps(ARGUMENTS, ensure_ascii=False)};"
    for spelling in (ARGUMENTS, json.dumps(ARGUMENTS), json.dumps(ARGUMENTS, indent=2)):
        assert chat(OBJECTS).render([USER, calling(spelling)]) == written
        older = {"role": "assistant", "function_call": {"name": "forecast", "arguments": spelling}}
        assert chat(OBJECTS).render([USER, older]) == written
        bare = {"role": "assistant", "content": None, "tool_calls": [{"name": "forecast", "arguments": spelling}]}
        assert chat(OBJECTS).render([USER, bare]) == written


def test_a_template_that_pastes_arguments_gets_them_as_json():
    written = json.dumps(ARGUMENTS, ensure_ascii=False)
    for spelling in (ARGUMENTS, json.dumps(ARGUMENTS)):
        assert chat(TEXTS).render([USER, calling(spelling)]).endswith(f"<call>forecast {written};")
        assert chat(PASTED).render([USER, calling(spelling)]).endswith(f"<call>forecast a {written};")


def test_a_template_that_spells_arguments_out_gets_an_object():
    assert chat(KEYS).render([USER, calling('{"city": "Ghent"}')]).endswith("<call>forecast <city>Ghent;")


@pytest.mark.parametrize("nothing", [None, "", "{}", {}, "null"])
def test_a_call_without_arguments_has_an_empty_object(nothing):
    assert chat(OBJECTS).render([USER, calling(nothing)]).endswith("<call>forecast {};")


@pytest.mark.parametrize("wrong", ["[1]", "city", '{"city": ', 7, [1], "7"])
def test_arguments_that_are_no_object_are_refused(wrong):
    rule = r"messages\[1\]: tool_calls\[0\]: arguments: expected a JSON object, got "
    with pytest.raises(EdgedraftError, match=rule):
        chat(OBJECTS).render([USER, calling(wrong)])


@pytest.mark.parametrize("wrong", [["call"], [{"function": "name"}], "call", {"name": "x"}])
def test_calls_that_are_none_are_refused(wrong):
    with pytest.raises(EdgedraftError, match=r"^messages\[0\]: tool_calls"):
        normalized([{"role": "assistant", "content": "", "tool_calls": wrong}])


def test_an_answer_of_calls_alone_is_never_shown_as_none():
    printed = BLIND.replace(
        "{{ m.content }}", "{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}"
    )
    assert chat(printed).render([USER, calling(ARGUMENTS)]) == "user:Weather?;assistant:forecast;"


def test_normalized_messages_come_back_unchanged():
    messages = [USER, calling(ARGUMENTS), {"role": "tool", "content": "mild", "tool_call_id": "c1"}]
    assert normalized(messages) == messages
    assert normalized(normalized([USER, calling(json.dumps(ARGUMENTS))])) == [USER, calling(ARGUMENTS)]


def test_calls_and_tools_that_the_template_leaves_out_are_counted():
    tools = [{"type": "function", "function": {"name": "forecast"}}, {"name": "other"}]
    messages = [USER, calling(ARGUMENTS), calling("{}")]
    assert hidden_parts(chat(WITH_TOOLS).render, messages, tools) == {}
    assert hidden_parts(chat(OBJECTS).render, messages, tools) == {"tools": 2}
    assert hidden_parts(chat(BLIND).render, messages, tools) == {"tools": 2, "assistant's tool calls": 2}
    assert hidden_parts(chat(None).render, messages, tools) == {"tools": 2, "assistant's tool calls": 2}
    with pytest.raises(EdgedraftError, match="got hidden: 2 of assistant's tool calls - leave them out"):
        require_shown(chat(BLIND).render, messages)


def test_words_that_the_template_writes_anyway_do_not_count_as_shown():
    template = "{% for m in messages %}{% if m.role != 'system' %}system user {{ m.content }}{% endif %}{% endfor %}"
    assert hidden_parts(chat(template).render, [{"role": "system", "content": "user"}, USER]) == {"system": 1}


def test_what_is_no_list_of_messages_is_refused():
    for wrong in ("Weather?", USER, None, 7, []):
        with pytest.raises(EdgedraftError, match=r"^messages: expected a list of messages, got "):
            normalized(wrong)
