"""Save a talk as JSON and read it again."""

from dataclasses import dataclass
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError, naming
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.outputs import require_own_file
from edgedraft.runtime.base.records import from_plain, require
from edgedraft.runtime.talk.state import SYSTEM, USER, Talk
from edgedraft.runtime.text.messages import ASSISTANT

MOST_TALK_BYTES = 2**24
"""Largest saved talk that is read; a million tokens of text have a quarter of it."""

_MARKER = b'"messages"'


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedMessage:
    """One message in a file."""

    role: str
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedTalk:
    """A file's content; what ``edgedraft chat --json`` prints has the same form."""

    messages: tuple[SavedMessage, ...]


def save_talk(path: Path, talk: Talk) -> None:
    """Write the talk in one step; raise `EdgedraftError` where another kind of file would be replaced."""
    require_own_file(path, "a saved talk", _MARKER)
    write_json(path, {"messages": talk.messages})


def read_talk(path: Path) -> Talk:
    """Read a saved talk; raise `EdgedraftError` that names the file and the place of what is wrong."""
    saved = from_plain(SavedTalk, read_json(path, MOST_TALK_BYTES), str(path))
    with naming(path):
        system, *others = (
            saved.messages
            if saved.messages[:1] and saved.messages[0].role == SYSTEM
            else (
                SavedMessage(role=SYSTEM, content=""),
                *saved.messages,
            )
        )
        for place, message in enumerate(others, len(saved.messages) - len(others)):
            known = message.role in (USER, ASSISTANT)
            rule = f"messages[{place}]: role: expected {USER} or {ASSISTANT}, after at most one {SYSTEM} message"
            require(known, rule, got=message.role)
    turns = tuple({"role": message.role, "content": message.content} for message in others)
    return Talk(system=system.content, turns=turns)


def talk_path(text: str) -> Path:
    """Return the path that a user typed; ~ is the home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise EdgedraftError(f"{text}: no such home folder", remedy="write the whole path") from error
