"""Streamed text: token ids become whole characters, held back where a stop text may begin."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tokenizers.decoders import DecodeStream

from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.text.codec import TextCodec


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


class TextStream:
    """Turns ids into text as they come, holding back what is not yet whole or may begin a stop string."""

    def __init__(self, codec: TextCodec, stop: Sequence[str] = ()) -> None:
        self._tokenizer = codec.tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped = False

    def push(self, token_id: int) -> str:
        """The text that ``token_id`` makes certain; sets ``stopped`` when a stop string is complete."""
        self._held += self._decoder.step(self._tokenizer, token_id) or ""
        found = [place for stop in self._stop if (place := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            ready, self._held = self._held[: min(found)], ""
            return ready
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        ready, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return ready

    def finish(self) -> str:
        """The text still held back."""
        ready, self._held = self._held, ""
        return ready


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)
