"""Fit a conversation into the context by leaving out its oldest messages."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.chat_template import Message
from edgedraft.runtime.text.codec import TextCodec


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedPrompt:
    """The token ids of a conversation, and how many of its messages were left out to make it fit."""

    token_ids: tuple[int, ...]
    dropped_messages: int


def fit_conversation(codec: TextCodec, messages: Sequence[Message], max_tokens: int) -> FittedPrompt:
    """Encode the conversation in at most ``max_tokens`` tokens, leaving out the oldest messages first.

    System messages stay. What is left begins with a user's message, as chat templates expect. Raises `EdgedraftError`
    when not even the last message of the user fits.
    """
    token_ids: list[int] = []
    # Try the whole conversation, then the rest from each later message of the user on.
    for start in [0, *(place for place, message in enumerate(messages) if place and message.get("role") == "user")]:
        kept = [each for place, each in enumerate(messages) if place >= start or each.get("role") == "system"]
        token_ids = codec.encode_chat(kept)
        if len(token_ids) <= max_tokens:
            return FittedPrompt(token_ids=tuple(token_ids), dropped_messages=len(messages) - len(kept))
    remedy = "shorten it or open the bundle with a larger context"
    raise EdgedraftError(f"the last message must fit into {max_tokens} tokens", got=len(token_ids), remedy=remedy)
