"""Locate the text that the assistant generated in a conversation, by the renderings of the chat template itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from edgedraft.calibration.data.samples import Sample
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.codec import TextCodec
from edgedraft.runtime.text.hidden import CALLS, hidden_parts
from edgedraft.runtime.text.messages import ASSISTANT, Message

_SENTINEL = "Sentinel7edgedraft7Text"
_SAYING = ("tool_calls", "function_call", "reasoning_content", "thinking")
_REMEMBERED_ROLES = 1024

_Messages = Sequence[Message]


class Turn(NamedTuple):
    """``text`` is what the assistant generated, with its end and what the template adds behind it.

    ``before`` is the rendering that it continues, None where nobody asked for it.
    """

    text: str
    before: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Spans:
    """The assistant's turns of one conversation.

    ``empty`` assistant turns say nothing; ``rewritten`` ones do not show their content word for word; ``fallback``
    turns were located although their prompt is no beginning of their rendering; ``dropped`` counts the messages, by
    role, that the template does not show.
    """

    turns: tuple[Turn, ...] = ()
    empty: int = 0
    rewritten: int = 0
    fallback: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)


class SpanFinder:
    """Finds the assistant's turns. ``closing`` is the end that an answer gets where there is no chat template.

    With ``with_prompts`` every turn has what stands before it.
    """

    def __init__(self, codec: TextCodec, closing: str = "", *, with_prompts: bool = False) -> None:
        self._codec = codec
        self._closing = closing
        self._with_prompts = with_prompts
        self._dropped: dict[tuple[str, ...], Mapping[str, int]] = {}

    def find(self, sample: Sample) -> Spans:
        """Return the turns of a conversation; raise `EdgedraftError` where they are not certain."""
        if not self._codec.has_template:
            return self._bare(sample.messages)
        return _Rendered(self._codec, sample, self._with_prompts).spans(self._dropped_roles(sample))

    def _bare(self, messages: _Messages) -> Spans:
        """Without a template an answer is its content, closed by the first end token."""
        turns, empty, before = [], 0, ""
        for message in messages:
            content = str(message.get("content") or "")
            if message["role"] == ASSISTANT and content.strip():
                turns.append(Turn(content + self._closing, before if self._with_prompts else None))
            empty += message["role"] == ASSISTANT and not content.strip()
            before += f"{content}\n\n"
        return Spans(turns=tuple(turns), empty=empty)

    def _dropped_roles(self, sample: Sample) -> Mapping[str, int]:
        """Count what the template does not show, by role; tried once for each sequence of roles."""
        key = tuple(str(message["role"]) for message in sample.messages)
        if key not in self._dropped:
            if len(self._dropped) >= _REMEMBERED_ROLES:
                self._dropped.clear()
            render = partial(self._codec.render_chat, answer=False)
            hidden = hidden_parts(render, sample.messages)
            # Calls differ from sample to sample: they are looked for in every turn.
            self._dropped[key] = {role: count for role, count in sorted(hidden.items()) if role != CALLS}
        return self._dropped[key]


class _Rendered:
    """One conversation, rendered up to and including each of its turns."""

    def __init__(self, codec: TextCodec, sample: Sample, with_prompts: bool) -> None:
        self._messages = sample.messages
        self._render = partial(codec.render_chat, tools=sample.tools)
        self._with_prompts = with_prompts

    def spans(self, dropped: Mapping[str, int]) -> Spans:
        turns: list[Turn] = []
        left_out = dict(dropped)
        empty = rewritten = fallback = 0
        for place, message in enumerate(self._messages):
            if message["role"] != ASSISTANT:
                continue
            if not _says_something(message):
                empty += 1
                continue
            rendered = self._render(self._messages[: place + 1], answer=False)
            start, by_prompt = self._start(place, rendered)
            text = rendered[start:]
            if not _shows_calls(message, text):
                left_out[CALLS] = left_out.get(CALLS, 0) + 1
                continue
            verbatim = str(message.get("content") or "").strip() in text
            if not text.strip() or not (verbatim or _SENTINEL in self._marked(place)):
                raise EdgedraftError(f"the template leaves out what message {place + 1} says")
            fallback += not by_prompt
            rewritten += not verbatim
            turns.append(Turn(text, rendered[:start] if self._with_prompts else None))
        return Spans(turns=tuple(turns), empty=empty, rewritten=rewritten, fallback=fallback, dropped=left_out)

    def _start(self, place: int, rendered: str) -> tuple[int, bool]:
        """Return where turn ``place`` begins in ``rendered``, and whether its own prompt says so."""
        prompt = self._prompt(place)
        if prompt is not None and rendered.startswith(prompt):
            return len(prompt), True
        head, *behind = self._marked(place).split(_SENTINEL)
        if len(behind) == 1 and rendered.startswith(head):
            # The prompt holds more than the turn shows (such as <think>), or earlier turns look different in it.
            if prompt is not None and prompt.startswith(head):
                return len(head), False
            opening = self._opening(place)
            if opening and head.endswith(opening):
                return len(head), False
        raise EdgedraftError(f"the template does not show where message {place + 1} begins to be generated")

    def _marked(self, place: int) -> str:
        """Render the conversation up to turn ``place``, which says nothing but the sentinel."""
        return self._render([*self._messages[:place], {"role": ASSISTANT, "content": _SENTINEL}], answer=False)

    def _prompt(self, place: int) -> str | None:
        """Render what the turn continues; None where the template refuses a conversation that ends there."""
        try:
            return self._render(self._messages[:place], answer=True) if place else None
        except EdgedraftError:
            return None

    def _opening(self, place: int) -> str | None:
        """Return what the template writes before an answer, from the messages before the turn or with it."""
        for messages in filter(None, (self._messages[:place], self._messages[: place + 1])):
            try:
                bare, prompt = self._render(messages, answer=False), self._render(messages, answer=True)
            except EdgedraftError:
                continue
            if prompt.startswith(bare):
                return prompt[len(bare) :]
        return None


def _says_something(message: Message) -> bool:
    return bool(str(message.get("content") or "").strip() or any(message.get(key) for key in _SAYING))


def _shows_calls(message: Message, text: str) -> bool:
    """Return whether a turn of calls alone shows the names of the functions it calls."""
    if str(message.get("content") or "").strip():
        return True
    calls = [*(message.get("tool_calls") or ()), *filter(None, [message.get("function_call")])]
    return all(_called(call) in text for call in calls)


def _called(call: object) -> str:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    return str(function.get("name", "")) if isinstance(function, Mapping) else ""
