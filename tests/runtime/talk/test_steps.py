"""What a typed text does to a talk."""

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.talk.state import Talk
from edgedraft.runtime.talk.steps import CHAT_COMMANDS, Deed, next_step

ONE = Talk(system="be brief").asked("hi").answered("hello")
USER_LAST = Talk(system="be brief").asked("hi")


def roles(talk):
    return [(message["role"], message["content"]) for message in talk.messages]


@pytest.mark.parametrize(
    ("typed", "asked"), [("more", "more"), ("//etc is a folder", "/etc is a folder"), ("a /b", "a /b")]
)
def test_a_message_is_answered(typed, asked):
    step = next_step(ONE, typed)
    assert step.deed is Deed.ANSWER
    assert roles(step.talk) == [("system", "be brief"), ("user", "hi"), ("assistant", "hello"), ("user", asked)]


@pytest.mark.parametrize("talk", [ONE, USER_LAST], ids=["answered", "loaded without an answer"])
def test_regen_answers_the_last_message_again(talk):
    step = next_step(talk, "/regen")
    assert (step.talk, step.deed) == (USER_LAST, Deed.ANSWER)


def test_regen_needs_a_message():
    with pytest.raises(EdgedraftError, match=r"^there is no message to answer yet - write one$"):
        next_step(Talk(system="x"), "/regen")


def test_clear_keeps_the_system_message():
    step = next_step(ONE, "/clear")
    assert (step.talk, step.text) == (Talk(system="be brief"), "[a new talk; the system message stays]")


@pytest.mark.parametrize(
    ("typed", "system", "text"),
    [
        ("/system", "be brief", "be brief"),
        ("/system be\nlong", "be\nlong", "[system message set]"),
        ("/system -", "", "[system message removed]"),
    ],
)
def test_system(typed, system, text):
    step = next_step(ONE, typed)
    assert (step.talk.system, step.talk.turns, step.text) == (system, ONE.turns, text)


def test_no_system_message_is_said():
    assert next_step(Talk(), "/system").text == "[no system message]"


@pytest.mark.parametrize(
    ("typed", "deed", "text"),
    [
        ("/save my talk.json", Deed.SAVE, "my talk.json"),
        ("/load  a.json ", Deed.LOAD, "a.json"),
        ("/stats", Deed.STATS, ""),
        ("/marks", Deed.MARKS, ""),
        ("/marks off", Deed.MARKS, "off"),
        ("/exit", Deed.END, ""),
        ("/bye", Deed.END, ""),
        ("/quit", Deed.END, ""),
    ],
)
def test_what_is_left_to_do(typed, deed, text):
    step = next_step(ONE, typed)
    assert (step.talk, step.deed, step.text) == (ONE, deed, text)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/sytem x", "unknown command, got /sytem - did you mean /system?; // begins a message with a slash"),
        ("/reg", "unknown command, got /reg - did you mean /regen?; // begins a message with a slash"),
        ("/xyzzy", "unknown command, got /xyzzy - see /help; // begins a message with a slash"),
        ("/", "unknown command, got / - see /help; // begins a message with a slash"),
        ("/save", "/save needs a FILE - write /save FILE"),
        ("/clear all", "/clear takes nothing behind it, got all"),
        ("/marks red", "/marks: expected on, off or nothing, got red"),
    ],
)
def test_mistakes_are_one_line(typed, said):
    with pytest.raises(EdgedraftError) as error:
        next_step(ONE, typed)
    assert str(error.value) == said


def test_help_names_every_command():
    said = next_step(ONE, "/help").text
    assert next_step(ONE, "/?").text == said
    assert [line.split()[0] for line in said.split("\n\n")[0].splitlines()] == list(CHAT_COMMANDS)
    assert max(map(len, said.splitlines())) <= 100
