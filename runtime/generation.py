"""From endless rounds to one answer: limits, stop strings and text pieces."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from edgedraft.runtime.records import require
from edgedraft.runtime.rounds import Round
from edgedraft.runtime.text import TextCodec, TextStream


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """When an answer ends: after ``max_new_tokens``, or with one of ``end_token_ids`` (which is kept)."""

    max_new_tokens: int
    end_token_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(self.max_new_tokens >= 1, "max_new_tokens must be at least 1", got=self.max_new_tokens)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPiece:
    """A piece of the answer; ``drafted`` says that its last token was a draft which the target kept.

    ``token_ids`` are the tokens since the last piece, ``log_probs`` the target's log-probabilities of them where these
    were asked for.
    """

    text: str
    drafted: bool
    token_ids: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()


def limited(rounds: Iterable[Round], limits: Limits) -> Iterator[Round]:
    """The rounds of one answer, the last one cut where the answer ends."""
    room = limits.max_new_tokens
    for turn in rounds:
        kept = _until_end(turn.token_ids[:room], limits.end_token_ids)
        room -= len(kept)
        log_probs = turn.log_probs[: len(kept)]
        yield replace(turn, token_ids=kept, accepted=min(turn.accepted, len(kept)), log_probs=log_probs)
        if room == 0 or kept[-1] in limits.end_token_ids:
            return


def text_pieces(rounds: Iterable[Round], codec: TextCodec, stop: Sequence[str] = ()) -> Iterator[TextPiece]:
    """Stream an answer's text, token by token, ending early when a stop string appears."""
    stream = TextStream(codec, stop)
    token_ids: list[int] = []
    log_probs: list[float] = []
    drafted = False
    for turn in rounds:
        for position, token_id in enumerate(turn.token_ids):
            text = stream.push(token_id)
            token_ids.append(token_id)
            log_probs += turn.log_probs[position : position + 1]
            drafted = position < turn.accepted
            if text or stream.stopped:
                yield TextPiece(text=text, drafted=drafted, token_ids=tuple(token_ids), log_probs=tuple(log_probs))
                token_ids, log_probs = [], []
            if stream.stopped:
                return
    rest = stream.finish()
    if rest or token_ids:
        yield TextPiece(text=rest, drafted=drafted, token_ids=tuple(token_ids), log_probs=tuple(log_probs))


def _until_end(token_ids: tuple[int, ...], end_token_ids: tuple[int, ...]) -> tuple[int, ...]:
    for position, token_id in enumerate(token_ids):
        if token_id in end_token_ids:
            return token_ids[: position + 1]
    return token_ids
