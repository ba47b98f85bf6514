"""Find the parts of a conversation that a chat template leaves out: whole roles, calls, tools."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.messages import ASSISTANT, Message, normalized

CALLS = "assistant's tool calls"
"""Stands for a role where the template leaves out the calls of an assistant's message."""

TOOLS = "tools"
"""Stands for a role where the template leaves out the functions that may be called."""

_MARK = "sentinel6edgedraft6text"

Render = Callable[[Sequence[Message], Sequence[Message]], str]


def hidden_parts(render: Render, messages: Sequence[Message], tools: Sequence[Message] = ()) -> Mapping[str, int]:
    """Count, by role, the messages that ``render`` leaves out; also `TOOLS` and `CALLS`.

    Contents and names of functions are replaced by unique marks, which should appear in the text. What an assistant
    said is not checked, because templates leave out reasoning, and text beside a call, on purpose.
    """
    marks = _Marks()
    marked = [marks.message(message) for message in normalized(messages)]
    marked_tools = [marks.tool(tool) for tool in tools]
    try:
        shown = render(marked, marked_tools).casefold()
    except EdgedraftError:
        return {}  # the template wants other words: nothing can be said
    return Counter(role for mark, role in marks.roles.items() if mark not in shown)


def require_shown(render: Render, messages: Sequence[Message], tools: Sequence[Message] = ()) -> None:
    """Raise `EdgedraftError` if ``render`` leaves out something that the model should read."""
    hidden = hidden_parts(render, messages, tools)
    if hidden:
        listed = ", ".join(f"{count} of {role}" for role, count in sorted(hidden.items()))
        remedy = "leave them out, or choose a model whose template knows them"
        raise EdgedraftError("the chat template must show every message", got=f"hidden: {listed}", remedy=remedy)


class _Marks:
    """Marks, each with the role of what it replaces."""

    def __init__(self) -> None:
        self.roles: dict[str, str] = {}

    def message(self, message: Message) -> Message:
        if message["role"] == ASSISTANT:
            calls = [self._renamed(call, CALLS) for call in message.get("tool_calls") or ()]
            return {**message, "tool_calls": calls} if calls else message
        return {**message, "content": self._new(message["role"])} if (message["content"] or "").strip() else message

    def tool(self, tool: Message) -> Message:
        return self._renamed(tool, TOOLS)

    def _renamed(self, holder: Message, role: str) -> Message:
        """Return a call or a tool with a mark as its function's name."""
        function = holder.get("function")
        if not isinstance(function, Mapping):
            return {**holder, "name": self._new(role)} if "name" in holder else holder
        renamed: dict[str, Any] = {**function, "name": self._new(role)}
        return {**holder, "function": renamed}

    def _new(self, role: str) -> str:
        mark = f"{_MARK}{len(self.roles)}end"
        self.roles[mark] = role
        return mark
