"""One turn of a conversation as the message that chat templates expect: role/content, or ShareGPT's from/value."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

Message = Mapping[str, Any]

USER, ASSISTANT, SYSTEM, TOOL = "user", "assistant", "system", "tool"

_SPEAKERS = {
    **dict.fromkeys(("human", "user"), USER),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "model", "bot"), ASSISTANT),
    "system": SYSTEM,
    **dict.fromkeys(("tool", "function", "observation", "function_response", "tool_response"), TOOL),
    **dict.fromkeys(("function_call", "tool_call"), ASSISTANT),
}
_PLAIN_KEYS = {"role", "content"}
_CALLS = ("function_call", "tool_call")
_SHOWN = 60


def messages(turns: object, where: str) -> list[Message]:
    """Return the messages of a list of turns; ``where`` names the field in errors."""
    if not isinstance(turns, list) or not turns:
        raise EdgedraftError(f"{where}: expected a list of turns", got=shown(turns))
    return [turn if _is_plain(turn) else _message(turn, f"{where}[{place}]") for place, turn in enumerate(turns)]


def text(value: object, where: str) -> str:
    """Return a text that is not blank."""
    require(
        isinstance(value, str) and bool(value.strip()), f"{where}: expected a text that is not empty", got=shown(value)
    )
    return str(value)


def shown(value: object) -> str:
    """Return a value for an error's one line, cut where it is long."""
    line = repr(value)
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def listed(names: Iterable[str]) -> str:
    """Names for an error's one line, in order, cut where they are many."""
    line = " ".join(", ".join(sorted(names)).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _is_plain(turn: object) -> bool:
    """Tell whether a turn is a message as it stands, which most are: a role and a text, and nothing else."""
    if not isinstance(turn, dict) or turn.keys() != _PLAIN_KEYS:
        return False
    role, content = turn["role"], turn["content"]
    return isinstance(role, str) and bool(role.strip()) and isinstance(content, str)


def _message(turn: object, where: str) -> Message:
    """Keys that say nothing (null) are dropped, others stay: the template may ask for them.

    A turn of calls alone has the content None, as templates ask ``content is none``.
    """
    if not isinstance(turn, Mapping):
        raise EdgedraftError(f"{where}: expected an object", got=shown(turn))
    fields = {str(key): value for key, value in turn.items() if value is not None}
    if "from" in fields:
        return _spoken(fields, where)
    role = fields.get("role")
    require(isinstance(role, str) and bool(role.strip()), f"{where}: role: expected a name", got=shown(role))
    calls = bool(fields.get("tool_calls") or fields.get("function_call"))
    if "content" not in fields and calls:
        return {**fields, "content": None}
    return {**fields, "content": _content(fields.get("content"), f"{where}: content")}


def _spoken(fields: dict[str, Any], where: str) -> Message:
    """Convert a ShareGPT turn; calls written as JSON become ``tool_calls``."""
    speaker, value = fields.pop("from"), _content(fields.pop("value", None), f"{where}: value")
    known = isinstance(speaker, str) and speaker in _SPEAKERS
    require(known, f"{where}: from: expected human, gpt, system or tool", got=shown(speaker))
    calls = _tool_calls(value) if speaker in _CALLS else []
    if calls:
        return {**fields, "role": ASSISTANT, "content": None, "tool_calls": calls}
    return {**fields, "role": _SPEAKERS[speaker], "content": value}


def _tool_calls(value: str) -> list[Message]:
    """Return the calls in a ShareGPT ``function_call``; none where it is no JSON that names functions."""
    try:
        data = json.loads(value)
    except ValueError:
        return []
    calls = data if isinstance(data, list) else [data]
    named = all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls)
    return [{"type": "function", "function": call} for call in calls] if named else []


def _content(value: object, where: str) -> str:
    """Return a text, or the texts of a list of parts, one below the other (as serving engines join them)."""
    if isinstance(value, list):
        return "\n".join(_part(part, f"{where}[{place}]") for place, part in enumerate(value))
    if not isinstance(value, str):
        raise EdgedraftError(f"{where}: expected a text or a list of text parts", got=shown(value))
    return value


def _part(part: object, where: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise EdgedraftError(f"{where}: expected a text part", got=shown(part))
