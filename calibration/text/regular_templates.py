"""A conversation's turns by one rendering, where the template writes fixed text around every content.

Rendering each turn up to its place costs more than counting it. So the fixed texts of a sequence of roles are learned
once, by those renderings, from two conversations made up for it. A conversation of the same roles is regular when its
whole rendering is exactly these texts around its contents, which needs no look where the template never looks at the
contents either (`UnreadRenderings`); then its turns are its contents and the learned ends.
Answers that templates are known to treat by their place (white space around them, thoughts, markup) are left to those
renderings.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edgedraft.calibration.data.samples import Sample
from edgedraft.calibration.data.turns import ASSISTANT, PLAIN_KEYS
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.codec import TextCodec
from edgedraft.runtime.text.unread_template import UnreadRenderings

_MARKUP = ("think>", "THINK]", "<|")
_LONGEST = 64
_KNOWN = 1024
_MADE_UP = ("Probe{}of7edgedraft", "Probe{}of7edgedraft's\n\n  <b>second</b> `{{}}`\nline {}.")

Roles = tuple[str, ...]


class _Frames(NamedTuple):
    """``around``: the fixed texts, one more than contents; ``turns``: place, lead and tail of the assistant's.

    ``certain``: what contents say makes no difference to them, unless one is empty.
    """

    around: tuple[str, ...]
    turns: tuple[tuple[int, str, str], ...]
    certain: bool = False


class RegularTemplates:
    """What was learned about one codec's template, by sequence of roles."""

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec
        self._unread = UnreadRenderings(codec.chat)
        self._known: OrderedDict[Roles, _Frames | None] = OrderedDict()
        self._seen: set[Roles] = set()

    def turns(self, sample: Sample) -> list[str] | None:
        """What the assistant generated in each turn; None where the conversation is not regular."""
        messages = sample.messages
        if sample.tools or len(messages) > _LONGEST or any(message.keys() != PLAIN_KEYS for message in messages):
            return None
        frames = self._frames(tuple(message["role"] for message in messages))
        if frames is None:
            return None
        contents = [message["content"] for message in messages]
        said = [contents[place] for place, _, _ in frames.turns]
        if not all(isinstance(content, str) for content in contents) or not all(map(_is_plain, said)):
            return None
        surely = frames.certain and all(contents)
        if not (surely or self._rendered(messages) == _joined(frames.around, contents)):
            return None
        return [f"{lead}{contents[place]}{tail}" for place, lead, tail in frames.turns]

    def _frames(self, roles: Roles) -> _Frames | None:
        """The frames of these roles, learned when they come a second time."""
        if roles in self._known:
            return self._known[roles]
        if roles not in self._seen:
            if len(self._seen) >= _KNOWN:
                self._seen.clear()
            self._seen.add(roles)
            return None
        one, other = (self._learned(roles, form) for form in _MADE_UP)
        self._known[roles] = self._confirmed(roles, one) if one is not None and one == other else None
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return self._known[roles]

    def _confirmed(self, roles: Roles, frames: _Frames) -> _Frames:
        """The frames, certain where the template writes them without a look at the contents."""
        messages = _made_up(roles, _MADE_UP[-1])
        whole = _joined(frames.around, [message["content"] for message in messages])
        return frames._replace(certain=self._unread.render(messages) == whole)

    def _rendered(self, messages: Sequence[Mapping[str, str]]) -> str | None:
        try:
            return self._codec.render_chat(messages, answer=False)
        except EdgedraftError:
            return None

    def _learned(self, roles: Roles, form: str) -> _Frames | None:
        messages = _made_up(roles, form)
        contents = [message["content"] for message in messages]
        try:
            rest, around = self._codec.render_chat(messages, answer=False), []
            for content in contents:
                before, found, rest = rest.partition(content)
                if not found:
                    return None
                around.append(before)
            turns = []
            for place in (place for place, role in enumerate(roles) if role == ASSISTANT):
                prompt = self._codec.render_chat(messages[:place])
                shown = self._codec.render_chat(messages[: place + 1], answer=False)
                lead, found, tail = shown.removeprefix(prompt).partition(contents[place])
                if not found or not shown.startswith(prompt):
                    return None
                turns.append((place, lead, tail))
        except EdgedraftError:
            return None
        return _Frames((*around, rest), tuple(turns))


def _made_up(roles: Roles, form: str) -> list[dict[str, str]]:
    return [{"role": role, "content": form.format(place, place)} for place, role in enumerate(roles)]


def _is_plain(content: str) -> bool:
    return content != "" and content == content.strip() and not any(markup in content for markup in _MARKUP)


def _joined(around: Sequence[str], contents: Sequence[str]) -> str:
    pieces = [piece for pair in zip(around, contents, strict=False) for piece in pair]
    return "".join([*pieces, around[-1]])
