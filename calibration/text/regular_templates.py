"""Find a conversation's turns with one rendering, where the template writes fixed text around every content.

Rendering each turn up to its place costs more than counting it, and grows with the square of the turns. So the fixed
texts that a template writes around a sequence of roles are learned once, from two made-up conversations. A
conversation of the same roles is regular when its whole rendering is exactly these texts around its contents.

Templates are known to treat some answers by their place: white space around them, thoughts, markup. Such conversations
are not regular here, whatever their rendering says.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from edgedraft.calibration.data.samples import Sample
from edgedraft.calibration.data.turns import ASSISTANT, PLAIN_KEYS, Message
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.codec import TextCodec

_MARKUP = ("think>", "THINK]", "<|")
_LONGEST = 64  # learning takes time that grows with the square of the turns
_REMEMBERED = 1024
# Two kinds of content, so that a template that changes only one of them (quotes, blank lines, tags) is caught.
_MADE_UP = ("Probe{}of7edgedraft", "Probe{}of7edgedraft's\n\n  <b>second</b> `{{}}`\nline {}.")


class _Frame(NamedTuple):
    """The fixed texts of a sequence of roles: ``around`` the contents, one more than there are contents.

    ``turns`` has place, lead and tail of every turn of the assistant.
    """

    around: tuple[str, ...]
    turns: tuple[tuple[int, str, str], ...]


class RegularTemplates:
    """The frames of one codec's template, by sequence of roles."""

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._frame = lru_cache(maxsize=_REMEMBERED)(self._learn)

    def turns(self, sample: Sample) -> list[str] | None:
        """Return what the assistant generated in each turn; None where the conversation is not regular."""
        messages = sample.messages
        if sample.tools or len(messages) > _LONGEST or any(message.keys() != PLAIN_KEYS for message in messages):
            return None
        frame = self._frame(tuple(message["role"] for message in messages))
        contents = [message["content"] for message in messages]
        if frame is None or not all(isinstance(content, str) for content in contents):
            return None
        if not all(_is_plain(contents[place]) for place, _, _ in frame.turns):
            return None
        if self._rendered(messages) != _joined(frame.around, contents):
            return None
        return [f"{lead}{contents[place]}{tail}" for place, lead, tail in frame.turns]

    def _learn(self, roles: tuple[str, ...]) -> _Frame | None:
        """Return the frame of these roles; None where different contents give different frames."""
        try:
            one, other = (self._frame_of(roles, form) for form in _MADE_UP)
        except EdgedraftError:
            return None
        return one if one == other else None

    def _frame_of(self, roles: tuple[str, ...], form: str) -> _Frame | None:
        messages = [{"role": role, "content": form.format(place, place)} for place, role in enumerate(roles)]
        rest, around = self._codec.render_chat(messages, answer=False), []
        for message in messages:
            before, found, rest = rest.partition(message["content"])
            if not found:
                return None
            around.append(before)
        turns = []
        for place in (place for place, role in enumerate(roles) if role == ASSISTANT):
            prompt = self._codec.render_chat(messages[:place])
            shown = self._codec.render_chat(messages[: place + 1], answer=False)
            lead, found, tail = shown.removeprefix(prompt).partition(messages[place]["content"])
            if not found or not shown.startswith(prompt):
                return None
            turns.append((place, lead, tail))
        return _Frame((*around, rest), tuple(turns))

    def _rendered(self, messages: Sequence[Message]) -> str | None:
        try:
            return self._codec.render_chat(messages, answer=False)
        except EdgedraftError:
            return None


def _is_plain(content: str) -> bool:
    return content != "" and content == content.strip() and not any(markup in content for markup in _MARKUP)


def _joined(around: Sequence[str], contents: Sequence[str]) -> str:
    pieces = [piece for pair in zip(around, contents, strict=False) for piece in pair]
    return "".join([*pieces, around[-1]])
