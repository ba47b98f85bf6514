"""Convert a conversation to the form that all interfaces share: valid roles, text contents, calls as objects."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError, shown
from edgedraft.runtime.base.records import require

Message = Mapping[str, Any]

ASSISTANT = "assistant"

_PLAIN_KEYS = {"role", "content"}
_TEXT_PARTS = ("text", "input_text", "output_text")


def checked(messages: object, where: str = "messages") -> list[Message]:
    """Return the messages of a conversation with text contents; raise `EdgedraftError` for invalid messages.

    A content that is a list of text parts becomes their texts, one per line, as serving engines join them. An
    assistant's message without content, such as one with only calls, has the content None. Keys with null are removed.
    """
    is_list = isinstance(messages, Sequence) and not isinstance(messages, str | bytes)
    if not is_list or not messages:
        raise EdgedraftError(f"{where}: expected a list of messages", got=shown(messages))
    assert isinstance(messages, Sequence)
    return [
        message if _is_plain(message) else _message(message, f"{where}[{place}]")
        for place, message in enumerate(messages)
    ]


def normalized(messages: object, where: str = "messages") -> list[Message]:
    """Return `checked` messages whose calls are all in ``tool_calls``, with objects as arguments.

    Servers and OpenAI's files store arguments as JSON text, and older ones a single ``function_call``. Normalized
    messages are returned unchanged. Raises `EdgedraftError`, with the place below ``where``.
    """
    return [
        message if message.keys() == _PLAIN_KEYS else _with_calls(message, f"{where}[{place}]")
        for place, message in enumerate(checked(messages, where))
    ]


def content_text(value: object, where: str) -> str:
    """Return a text, or the texts of a list of parts, one per line."""
    if isinstance(value, list | tuple):
        return "\n".join(_part(part, f"{where}[{place}]") for place, part in enumerate(value))
    if not isinstance(value, str):
        raise EdgedraftError(f"{where}: expected a text or a list of text parts", got=shown(value))
    return value


def _is_plain(message: object) -> bool:
    """Return whether a message, like most, is normalized already: a role, a text, and nothing else."""
    if not isinstance(message, dict) or message.keys() != _PLAIN_KEYS:
        return False
    role, content = message["role"], message["content"]
    return isinstance(role, str) and bool(role.strip()) and isinstance(content, str)


def _message(message: object, where: str) -> Message:
    if not isinstance(message, Mapping):
        raise EdgedraftError(f"{where}: expected an object", got=shown(message))
    fields = {str(key): value for key, value in message.items() if value is not None}
    role = fields.get("role")
    require(isinstance(role, str) and bool(role.strip()), f"{where}: role: expected a name", got=shown(role))
    if "content" not in fields and (role == ASSISTANT or _is_calling(fields)):
        return {**fields, "content": None}
    return {**fields, "content": content_text(fields.get("content"), f"{where}: content")}


def _is_calling(fields: Message) -> bool:
    return bool(fields.get("tool_calls") or fields.get("function_call"))


def _with_calls(message: Message, where: str) -> Message:
    if not _is_calling(message):
        return message
    fields = {key: value for key, value in message.items() if key != "function_call"}
    calls = message.get("tool_calls") or [message["function_call"]]
    if not isinstance(calls, list | tuple):
        raise EdgedraftError(f"{where}: tool_calls: expected a list", got=shown(calls))
    read = [_call(call, f"{where}: tool_calls[{place}]") for place, call in enumerate(calls)]
    return {**fields, "tool_calls": read}


def _call(call: object, where: str) -> Message:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise EdgedraftError(f"{where}: expected a function with a name", got=shown(call))
    arguments = _arguments(function.get("arguments"), f"{where}: arguments")
    around = call if "function" in call else {"type": "function"}
    return {**around, "function": {**function, "arguments": arguments}}


def _arguments(value: object, where: str) -> Mapping[str, Any]:
    """Return a call's arguments as an object; servers send them as JSON text, or empty for a call without any."""
    try:
        read = json.loads(value or "null") if isinstance(value, str) else value
    except (ValueError, RecursionError):
        read = value
    read = {} if read is None else read
    if not isinstance(read, Mapping):
        raise EdgedraftError(f"{where}: expected a JSON object", got=shown(value))
    return read


def _part(part: object, where: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type", "text") in _TEXT_PARTS and isinstance(part.get("text"), str):
        return str(part["text"])
    raise EdgedraftError(f"{where}: expected a text part", got=shown(part))
