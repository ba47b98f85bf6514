"""Calls of functions in an answer: found in the format that Qwen's and Hermes's templates show to their models."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.json_text import parsed_json

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_SPACE = re.compile(r"\s*\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A call: the function's name, its arguments as JSON text, and an id that the answer to it repeats."""

    name: str
    arguments: str
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:24]}", compare=False)

    def json_form(self) -> dict[str, Any]:
        """Return the call as messages hold it."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


def shows_tool_calls(template: str | None) -> bool:
    """Return whether a chat template has its model write calls as ``<tool_call>{json}</tool_call>``."""
    return template is not None and _OPEN in template and _CLOSE in template


class ToolCallReader:
    """Separates an answer's text, piece by piece, into content and calls.

    What may begin a call is held back. A call that is not a JSON object with a name is content as it stands.
    """

    def __init__(self) -> None:
        self._held = ""
        self.found = 0

    def push(self, text: str) -> Iterator[str | ToolCall]:
        """Yield the content and the calls that ``text`` makes certain."""
        self._held += text
        while _OPEN in self._held:
            before, _, behind = self._held.partition(_OPEN)
            body, closed, rest = behind.partition(_CLOSE)
            if not closed:
                yield from _content(before.rstrip())
                self._held = self._held[len(before.rstrip()) :]
                return
            call = _call(body)
            if call is None:
                yield f"{before}{_OPEN}{body}{_CLOSE}"
            else:
                self.found += 1
                yield from _content(before.rstrip())
                yield call
            self._held = rest
        ready = len(self._held) - _undecided(self._held)
        yield from _content(self._held[:ready])
        self._held = self._held[ready:]

    def finish(self) -> Iterator[str | ToolCall]:
        """Yield the content that is still held back; white space behind calls is left out."""
        rest, self._held = self._held, ""
        yield from _content("" if self.found and not rest.strip() else rest)


def separated(text: str) -> tuple[str, list[ToolCall]]:
    """Return the content and the calls of a whole answer."""
    reader = ToolCallReader()
    parts = [*reader.push(text), *reader.finish()]
    return "".join(part for part in parts if isinstance(part, str)), [p for p in parts if isinstance(p, ToolCall)]


def _content(text: str) -> Iterator[str]:
    if text:
        yield text


def _undecided(text: str) -> int:
    """Return the length of the end of ``text`` that may begin a call: white space, and a part of the opening mark."""
    part = next((size for size in range(min(len(text), len(_OPEN) - 1), 0, -1) if text.endswith(_OPEN[:size])), 0)
    space = _SPACE.search(text, 0, len(text) - part)
    return part + (len(space[0]) if space else 0)


def _call(body: str) -> ToolCall | None:
    try:
        value: Any = parsed_json(body.strip(), "call")
    except EdgedraftError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        return None
    arguments = value.get("arguments", {})
    if isinstance(arguments, str):  # some models write the arguments as text, as the protocol does
        return ToolCall(name=value["name"], arguments=arguments)
    if not isinstance(arguments, dict):
        return None
    return ToolCall(name=value["name"], arguments=json.dumps(arguments, ensure_ascii=False))
