"""One turn of a conversation as the message that chat templates expect: role/content, or ShareGPT's from/value."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError, shown
from edgedraft.runtime.base.records import require
from edgedraft.runtime.text.messages import ASSISTANT, Message, checked, content_text

USER, SYSTEM, TOOL = "user", "system", "tool"

_SPEAKERS = {
    **dict.fromkeys(("human", "user"), USER),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "model", "bot"), ASSISTANT),
    "system": SYSTEM,
    **dict.fromkeys(("tool", "function", "observation", "function_response", "tool_response"), TOOL),
    **dict.fromkeys(("function_call", "tool_call"), ASSISTANT),
}
_CALLS = ("function_call", "tool_call")
_SHOWN = 60


def messages(turns: object, where: str) -> list[Message]:
    """Return the messages of a list of turns; ``where`` names the field in errors."""
    if not isinstance(turns, list) or not turns:
        raise EdgedraftError(f"{where}: expected a list of turns", got=shown(turns))
    spoken = (_spoken(turn, f"{where}[{place}]") if _is_spoken(turn) else turn for place, turn in enumerate(turns))
    return checked([*spoken], where)


def text(value: object, where: str) -> str:
    """Return a text that is not blank."""
    require(
        isinstance(value, str) and bool(value.strip()), f"{where}: expected a text that is not empty", got=shown(value)
    )
    return str(value)


def listed(names: Iterable[str]) -> str:
    """Names for an error's one line, in order, cut where they are many."""
    line = " ".join(", ".join(sorted(names)).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _is_spoken(turn: object) -> bool:
    return isinstance(turn, Mapping) and turn.get("from") is not None


def _spoken(turn: Mapping[str, Any], where: str) -> Message:
    """Convert a ShareGPT turn; calls written as JSON become ``tool_calls``."""
    fields = dict(turn)
    speaker, value = fields.pop("from"), content_text(fields.pop("value", None), f"{where}: value")
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
