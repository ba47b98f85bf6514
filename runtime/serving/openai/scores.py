"""Log-probabilities in the forms of the protocol, one for chats and one for completions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edgedraft.runtime.core.rounds import ScoredToken
from edgedraft.runtime.text.characters import REPLACEMENT
from edgedraft.runtime.text.codec import TextCodec
from edgedraft.runtime.text.streaming import TextPiece

_LEAST = -9999.0
"""Stands for minus infinity, which JSON does not have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenScore:
    """A token of an answer: its text, its log-probability and those of the best tokens in its place."""

    token_id: int
    text: str
    log_prob: float
    best: tuple[tuple[str, float], ...]


def token_scores(pieces: Iterable[TextPiece], codec: TextCodec, end_token_ids: Sequence[int]) -> list[TokenScore]:
    """Return the scored tokens of ``pieces`` but for end tokens, which are no part of the text."""
    scores = []
    for piece in pieces:
        best = piece.top_log_probs or ((),) * len(piece.token_ids)
        for token_id, log_prob, others in zip(piece.token_ids, piece.log_probs, best, strict=True):
            if token_id not in end_token_ids:
                scores.append(_score((token_id, log_prob), others, codec))
    return scores


def chat_scores(scores: Sequence[TokenScore]) -> dict[str, Any]:
    """Return ``logprobs`` of a chat's choice."""
    content = [
        {
            **_named(score.text, score.log_prob),
            "top_logprobs": [_named(text, log_prob) for text, log_prob in score.best],
        }
        for score in scores
    ]
    return {"content": content, "refusal": None}


def completion_scores(scores: Sequence[TokenScore], offset: int) -> dict[str, Any]:
    """Return ``logprobs`` of a completion's choice, whose text begins at ``offset`` of the whole text."""
    offsets = []
    for score in scores:
        offsets.append(offset)
        offset += len(score.text)
    return {
        "tokens": [score.text for score in scores],
        "token_logprobs": [max(score.log_prob, _LEAST) for score in scores],
        "top_logprobs": [{text: max(value, _LEAST) for text, value in score.best} for score in scores],
        "text_offset": offsets,
    }


def _score(token: ScoredToken, others: Iterable[ScoredToken], codec: TextCodec) -> TokenScore:
    best = tuple((_text(token_id, codec), log_prob) for token_id, log_prob in others)
    return TokenScore(token_id=token[0], text=_text(token[0], codec), log_prob=token[1], best=best)


def _text(token_id: int, codec: TextCodec) -> str:
    """Return a token's text; that of a special token is its name."""
    return codec.decode([token_id]) or codec.tokenizer.id_to_token(token_id) or ""


def _named(text: str, log_prob: float) -> dict[str, Any]:
    """Return a token with its bytes, which are not known where it is a part of a character."""
    whole = REPLACEMENT not in text
    return {"token": text, "logprob": max(log_prob, _LEAST), "bytes": list(text.encode()) if whole else None}
