"""Find out, by rendering, in which form a chat template shows messages, and convert messages to that form.

Templates differ: some show only contents that are lists of parts, some insert a call's arguments as text where most
write an object as JSON, some print None. Each template is tried once on a conversation of known words.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.messages import ASSISTANT, Message

Render = Callable[[Sequence[Message]], str]
"""Renders messages as they are; raises `EdgedraftError` where the template refuses them."""

_WORD = "Sentinel5edgedraft5Text"
_ALIASES = {"developer": "system", "function": "tool"}
"""Roles by newer or older names, and what templates that never heard of them call them."""

_USER: Message = {"role": "user", "content": _WORD.lower()}


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateForm:
    """The form of messages that a template needs.

    ``roles_in_parts`` are roles whose content is shown only as a list of parts. With ``text_arguments`` the template
    needs a call's arguments as JSON text, and with ``empty_contents`` an empty text instead of None. ``aliases`` rename
    roles.
    """

    roles_in_parts: frozenset[str] = frozenset()
    text_arguments: bool = False
    empty_contents: bool = False
    aliases: tuple[tuple[str, str], ...] = ()

    def fitted(self, messages: Sequence[Message]) -> list[Message]:
        """Return normalized messages in this form."""
        return [self._fitted(message) for message in messages]

    def _fitted(self, message: Message) -> Message:
        changed: dict[str, Any] = {}
        role, content = message["role"], message["content"]
        role = changed["role"] = dict(self.aliases).get(role, role)
        if (role if role in _ROLES else "user") in self.roles_in_parts:
            changed["content"] = [] if content is None else [{"type": "text", "text": content}]
        elif content is None and self.empty_contents:
            changed["content"] = ""
        if self.text_arguments and message.get("tool_calls"):
            changed["tool_calls"] = [_with_text_arguments(call) for call in message["tool_calls"]]
        return {**message, **changed}


def template_form(source: str, render: Render) -> TemplateForm:
    """Return the form that the template ``source`` needs, from what ``render`` shows of a few conversations."""
    in_parts: set[str] = set()
    for role, around in _ROLES.items():
        if _shows_only_parts(render, TemplateForm(roles_in_parts=frozenset(in_parts)).fitted(around), role):
            in_parts.add(role)
    parts = TemplateForm(roles_in_parts=frozenset(in_parts))
    text = replace(parts, text_arguments=True)
    in_object, in_text, empty = (
        _tried(render, form.fitted([_USER, {**_CALL, "content": content}]))
        for form, content in ((parts, None), (text, None), (parts, ""))
    )
    return TemplateForm(
        roles_in_parts=parts.roles_in_parts,
        text_arguments=_takes_text(in_object, in_text),
        empty_contents="None" in (in_object or in_text or "") and "None" not in (empty or ""),
        aliases=tuple((role, known) for role, known in _ALIASES.items() if not _names(source, role)),
    )


def _shows_only_parts(render: Render, before: Sequence[Message], role: str) -> bool:
    """Return whether a text of ``role`` after ``before`` is left out, and shown as the only part of a list."""
    behind: list[Message] = [*before] if role != "system" else []
    after = [*before] if role == "system" else []
    as_text = _tried(render, [*behind, {"role": role, "content": _WORD}, *after])
    if as_text is not None and _WORD in as_text:
        return False
    parts = [{"type": "text", "text": _WORD}]
    as_parts = _tried(render, [*behind, {"role": role, "content": parts}, *after])
    return as_parts is not None and _WORD in as_parts


def _takes_text(with_object: str | None, with_text: str | None) -> bool:
    """Return whether arguments must be JSON text: an object is refused, or is written in Python's notation."""
    refused = with_object is None or f"'{_WORD}'" in with_object
    return refused and with_text is not None and _WORD in with_text


def _tried(render: Render, messages: Sequence[Message]) -> str | None:
    try:
        return render(messages)
    except EdgedraftError:
        return None


def _with_text_arguments(call: Message) -> Message:
    function = call["function"]
    arguments = json.dumps(function["arguments"], ensure_ascii=False)
    return {**call, "function": {**function, "arguments": arguments}}


def _names(source: str, role: str) -> bool:
    """Return whether the template compares anything with this role's name."""
    return re.search(rf"""(==|!=|\bin\b)\s*[\[(]?[^\])%}}]*['"]{role}['"]""", source) is not None


_CALL: Message = {
    "role": ASSISTANT,
    "content": None,
    "tool_calls": [
        {"id": "call00001", "type": "function", "function": {"name": "look_up", "arguments": {_WORD: 1}}},
    ],
}
_ROLES: dict[str, list[Message]] = {
    "user": [],
    "system": [_USER],
    ASSISTANT: [_USER],
    "tool": [_USER, _CALL],
}
"""Roles that are tried, with the messages around them: behind a system message, before all others."""
