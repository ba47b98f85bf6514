"""Apply a typed message or command to a talk: a pure step from one talk to the next."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.suggestions import did_you_mean
from edgedraft.runtime.talk.state import Talk

NO_SYSTEM = "-"


class Deed(Enum):
    """The work of a step outside the talk itself."""

    ANSWER = "answer the talk's last message"
    SAY = "show the step's text"
    STATS = "show the sums over the answers"
    MARKS = "colour drafted tokens: on, off, or the other way"
    SAVE = "write the talk to the file"
    LOAD = "read the talk from the file"
    END = "end"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """The talk after a typed text, and what is to be done; ``text`` is its file or what is shown."""

    talk: Talk
    deed: Deed
    text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatCommand:
    """A command of the chat: what it takes, what it does, and the step it makes."""

    takes: str
    summary: str
    step: Callable[[Talk, str], Step]


def next_step(talk: Talk, text: str) -> Step:
    """Return the step that ``text`` makes: a message, or a command, which begins with one slash.

    Raises `EdgedraftError` for an unknown command, and for one with a missing or needless argument.
    """
    if not text.startswith("/") or text.startswith("//"):
        return Step(talk=talk.asked(text.removeprefix("/")), deed=Deed.ANSWER)
    name, _, argument = text.partition(" ") if " " in text else text.partition("\n")
    name, argument = ALIASES.get(name, name), argument.strip()
    if name not in CHAT_COMMANDS:
        guess = did_you_mean(name, CHAT_COMMANDS)
        remedy = f"{guess or 'see /help'}; // begins a message with a slash"
        raise EdgedraftError("unknown command", got=name, remedy=remedy)
    command = CHAT_COMMANDS[name]
    require(bool(command.takes) or not argument, f"{name} takes nothing behind it", got=argument)
    wants = command.takes.isupper()
    require(not wants or bool(argument), f"{name} needs a {command.takes}", remedy=f"write {name} {command.takes}")
    return command.step(talk, argument)


def help_text() -> str:
    """Return the commands, one a line, and how to type and to stop."""
    names = {name: f"{name} {command.takes}".strip() for name, command in CHAT_COMMANDS.items()}
    width = max(map(len, names.values()))
    lines = [f"{names[name]:<{width}}  {command.summary}" for name, command in CHAT_COMMANDS.items()]
    keys = [
        'Lines that end with \\ continue. """ begins and ends a text of several lines.',
        "Ctrl-C stops an answer and keeps the talk; at an empty prompt twice, or Ctrl-D, ends it.",
    ]
    return "\n".join([*lines, "", *keys])


def _does(deed: Deed) -> Callable[[Talk, str], Step]:
    return lambda talk, argument: Step(talk=talk, deed=deed, text=argument)


def _help(talk: Talk, argument: str) -> Step:
    return Step(talk=talk, deed=Deed.SAY, text=help_text())


def _clear(talk: Talk, argument: str) -> Step:
    kept = "; the system message stays" if talk.system else ""
    return Step(talk=Talk(system=talk.system), deed=Deed.SAY, text=f"[a new talk{kept}]")


def _system(talk: Talk, argument: str) -> Step:
    if not argument:
        return Step(talk=talk, deed=Deed.SAY, text=talk.system or "[no system message]")
    if argument == NO_SYSTEM:
        return Step(talk=replace(talk, system=""), deed=Deed.SAY, text="[system message removed]")
    return Step(talk=replace(talk, system=argument), deed=Deed.SAY, text="[system message set]")


def _marks(talk: Talk, argument: str) -> Step:
    require(argument in ("", "on", "off"), "/marks: expected on, off or nothing", got=argument)
    return Step(talk=talk, deed=Deed.MARKS, text=argument)


def _regen(talk: Talk, argument: str) -> Step:
    return Step(talk=talk.unanswered(), deed=Deed.ANSWER)


CHAT_COMMANDS = {
    "/help": ChatCommand(takes="", summary="show these lines", step=_help),
    "/clear": ChatCommand(takes="", summary="begin a new talk; the system message stays", step=_clear),
    "/system": ChatCommand(
        takes="[text]", summary="show the system message, set it, or remove it with -", step=_system
    ),
    "/regen": ChatCommand(takes="", summary="answer the last message again", step=_regen),
    "/stats": ChatCommand(takes="", summary="tokens, speed and acceptance so far", step=_does(Deed.STATS)),
    "/marks": ChatCommand(takes="[on|off]", summary="colour the tokens that were drafted", step=_marks),
    "/save": ChatCommand(takes="FILE", summary="write the talk as JSON", step=_does(Deed.SAVE)),
    "/load": ChatCommand(takes="FILE", summary="go on with a saved talk", step=_does(Deed.LOAD)),
    "/exit": ChatCommand(takes="", summary="end", step=_does(Deed.END)),
}

ALIASES = {"/bye": "/exit", "/quit": "/exit", "/?": "/help"}
"""Names that other chat programs use."""
