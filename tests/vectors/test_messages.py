"""Conversations in the form that a model gets, and refused ones; TypeScript does the same."""

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.chat_template import ChatTemplate
from edgedraft.runtime.text.hidden import require_shown


@pytest.fixture
def chat(vectors):
    def make(name: str | None) -> ChatTemplate:
        source = None if name is None else vectors["templates"][name]
        return ChatTemplate(source=source, special_tokens={"bos_token": "<s>"})

    return make


@pytest.mark.section("rendered")
def test_a_conversation_as_text(case, chat):
    assert chat(case["template"]).render(case["messages"]) == case["text"]


@pytest.mark.section("refused")
@pytest.mark.parametrize("template", [None, "plain", "parts"])
def test_what_is_no_conversation_is_refused(case, template, chat):
    with pytest.raises(EdgedraftError) as caught:
        chat(template).render(case["messages"])
    text = str(caught.value)
    assert text == case["message"] if "message" in case else text.startswith(case["starts"])


@pytest.mark.section("hidden")
def test_what_the_template_leaves_out(case, chat, refused):
    render = chat(case["template"]).render
    if case["hidden"] is None:
        require_shown(render, case["messages"])
        return
    remedy = "leave them out, or choose a model whose template knows them"
    with refused(f"the chat template must show every message, got hidden: {case['hidden']} - {remedy}"):
        require_shown(render, case["messages"])
