"""Fitting a conversation into the context: the rule by which old turns are left out."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.chat_template import Message
from edgedraft.runtime.text.codec import TextCodec


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedPrompt:
    """The token ids of a conversation, and how many of its messages were left out to make room."""

    token_ids: tuple[int, ...]
    dropped_messages: int


def fit_conversation(codec: TextCodec, messages: Sequence[Message], room: int) -> FittedPrompt:
    """The conversation in at most ``room`` tokens: system messages stay, the oldest others go first.

    What is kept begins with a user's message where one is left, as chat templates expect. Raises `EdgedraftError` when
    not even the last message fits.
    """
    token_ids: list[int] = []
    for start in [0, *(place for place, turn in enumerate(messages) if place and turn.get("role") == "user")]:
        kept = [turn for place, turn in enumerate(messages) if place >= start or turn.get("role") == "system"]
        token_ids = codec.encode_chat(kept)
        if len(token_ids) <= room:
            return FittedPrompt(token_ids=tuple(token_ids), dropped_messages=len(messages) - len(kept))
    remedy = "shorten it or open the bundle with a larger context"
    raise EdgedraftError(f"the last message must fit into {room} tokens", got=len(token_ids), remedy=remedy)
