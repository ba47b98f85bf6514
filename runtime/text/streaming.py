"""Streamed text: token ids become whole characters, held back where a stop text may begin."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError, shown
from edgedraft.runtime.core.model import Clock
from edgedraft.runtime.core.rounds import Round, ScoredToken
from edgedraft.runtime.core.statistics import DraftStatistics, count_rounds
from edgedraft.runtime.text.characters import REPLACEMENT
from edgedraft.runtime.text.codec import TextCodec

STOP, LENGTH, CANCELLED = "stop", "length", "cancelled"
"""Why an answer ended: with its end token or a stop text, at its limit or the context's, or by `AnswerStream.cancel`.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Counts and seconds of one answer; ``statistics`` count the rounds after the first, in which nothing is drafted.

    ``cached_tokens`` of the prompt were still in a cache and were not read again. ``seconds`` run from the first read
    of the prompt to the last piece, the caller's own work between pieces included.
    """

    prompt_tokens: int
    completion_tokens: int
    seconds: float
    first_token_seconds: float
    statistics: DraftStatistics
    cached_tokens: int = 0

    @property
    def drafted_tokens(self) -> int:
        """Return how many tokens the drafter proposed."""
        return self.statistics.draft_tokens_proposed

    @property
    def accepted_tokens(self) -> int:
        """Return how many proposed tokens the target accepted."""
        return self.statistics.draft_tokens_accepted

    @property
    def tokens_per_second(self) -> float:
        """Return the decoding speed after the first token; 0 where that token was the only one."""
        decoding = self.seconds - self.first_token_seconds
        return self.statistics.tokens / decoding if self.statistics.tokens else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPiece:
    """A piece of the answer; ``drafted`` is true if its last token was a draft that the target accepted.

    ``token_ids`` are the tokens since the last piece, and ``drafted_by_token`` says the same of each of them.
    ``log_probs`` are the target's log-probabilities of them, and ``top_log_probs`` the best ones in their places, where
    these were asked for. The last piece of an answer is empty text with ``finish_reason`` ("stop", "length" or
    "cancelled") and ``usage``.
    """

    text: str
    drafted: bool
    token_ids: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()
    top_log_probs: tuple[tuple[ScoredToken, ...], ...] = ()
    drafted_by_token: tuple[bool, ...] = field(default=(), compare=False)
    finish_reason: str | None = None
    usage: Usage | None = None


class Answer(str):
    """The text of a whole answer, a ``str``, with its token ids and statistics.

    It compares, slices and prints like any text. ``log_probs`` is empty unless they were requested.
    """

    __slots__ = ("finish_reason", "log_probs", "token_ids", "usage")
    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    finish_reason: str
    usage: Usage

    def __new__(
        cls, text: str, *, token_ids: tuple[int, ...], log_probs: tuple[float, ...], finish_reason: str, usage: Usage
    ) -> "Answer":
        """Return the text with what is known of it."""
        answer = super().__new__(cls, text)
        answer.token_ids, answer.log_probs = token_ids, log_probs
        answer.finish_reason, answer.usage = finish_reason, usage
        return answer

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.text,), {name: getattr(self, name) for name in self.__slots__}

    @property
    def text(self) -> str:
        """The text alone."""
        return str(self)


def joined(pieces: Iterable[TextPiece]) -> Answer:
    """Join the pieces of one answer; the last piece holds the finish reason and the usage."""
    every = tuple(pieces)
    finish_reason, usage = every[-1].finish_reason, every[-1].usage
    assert finish_reason is not None and usage is not None, "the last piece of `answer_pieces` carries both"
    return Answer(
        "".join(piece.text for piece in every),
        token_ids=tuple(token_id for piece in every for token_id in piece.token_ids),
        log_probs=tuple(value for piece in every for value in piece.log_probs),
        finish_reason=finish_reason,
        usage=usage,
    )


class Meter:
    """Count and time the rounds of one answer to a prompt of ``prompt_tokens`` tokens as they pass."""

    def __init__(self, prompt_tokens: int, clock: Clock) -> None:
        self._prompt_tokens = prompt_tokens
        self._clock = clock
        self._rounds: list[Round] = []
        self._started = self._first = 0.0

    def watched(self, rounds: Iterable[Round]) -> Iterator[Round]:
        """Yield ``rounds`` unchanged, and count them."""
        self._started = self._clock()
        for round_ in rounds:
            if not self._rounds:
                self._first = self._clock()
            self._rounds.append(round_)
            yield round_

    def usage(self, completion_tokens: int) -> Usage:
        """Return the counts and seconds of the rounds so far."""
        now = self._clock()
        return Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=completion_tokens,
            seconds=now - self._started,
            first_token_seconds=(self._first if self._rounds else now) - self._started,
            statistics=count_rounds(self._rounds[1:]),
            cached_tokens=self._rounds[0].cached if self._rounds else 0,
        )


def answer_pieces(
    rounds: Iterable[Round], stream: "TextStream", end_token_ids: Sequence[int], meter: Meter
) -> Generator[TextPiece, None, None]:
    """Yield an answer's pieces through a fresh ``stream``, and last one that says why it ended and what it took."""
    count, last = 0, -1
    pieces = text_pieces(meter.watched(rounds), stream)
    del rounds  # only the pieces hold them now: a stop text ends the decoding before the last piece is handed out
    for piece in pieces:
        count += len(piece.token_ids)
        last = piece.token_ids[-1] if piece.token_ids else last
        yield piece
    finish_reason = STOP if stream.stopped or last in end_token_ids else LENGTH
    yield TextPiece(text="", drafted=False, finish_reason=finish_reason, usage=meter.usage(count))


def text_pieces(rounds: Iterable[Round], stream: "TextStream") -> Iterator[TextPiece]:
    """Yield an answer's text through a fresh ``stream``, token by token; end early when a stop string appears."""
    waiting = _Waiting()
    for round_ in rounds:
        for position, token_id in enumerate(round_.token_ids):
            text = stream.push(token_id)
            waiting.add(round_, position)
            if text or stream.stopped:
                yield waiting.piece(text)
                waiting = _Waiting(drafted=waiting.drafted)
            if stream.stopped:
                return
    rest = stream.finish()
    if rest or waiting.token_ids:
        yield waiting.piece(rest)


@dataclass(kw_only=True, slots=True)
class _Waiting:
    """Tokens whose text is not certain yet; ``drafted`` says of the last one, or of the one before, what it was."""

    drafted: bool = False
    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    top_log_probs: list[tuple[ScoredToken, ...]] = field(default_factory=list)
    drafted_by_token: list[bool] = field(default_factory=list)

    def add(self, round_: Round, position: int) -> None:
        self.drafted = position < round_.accepted
        self.token_ids.append(round_.token_ids[position])
        self.log_probs += round_.log_probs[position : position + 1]
        self.top_log_probs += round_.top_log_probs[position : position + 1]
        self.drafted_by_token.append(self.drafted)

    def piece(self, text: str) -> TextPiece:
        return TextPiece(
            text=text,
            drafted=self.drafted,
            token_ids=tuple(self.token_ids),
            log_probs=tuple(self.log_probs),
            top_log_probs=tuple(self.top_log_probs),
            drafted_by_token=tuple(self.drafted_by_token),
        )


class TextStream:
    """Turn ids into text as they come; hold back incomplete characters and text that may begin a stop string.

    A decoder sees only the last ids: those whose text was returned, which may change the next, and those that wait.
    """

    def __init__(self, codec: TextCodec, stop: Sequence[str] = ()) -> None:
        self._codec = codec
        self._stop = tuple(text for text in stop if text)
        self._ids: list[int] = []
        self._returned = 0  # of `_ids`
        self._held = ""
        self.stopped = False

    def push(self, token_id: int) -> str:
        """Return the text that ``token_id`` makes certain; set ``stopped`` when a stop string is complete."""
        self._ids.append(token_id)
        # What a token of one byte says depends on the bytes behind it, up to the next other token.
        if token_id not in self._codec.special.byte_ids:
            self._held += self._complete_text()
        starts = [start for stop in self._stop if (start := self._held.find(stop)) >= 0]
        if starts:
            self.stopped = True
            ready, self._held = self._held[: min(starts)], ""
            return ready
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        ready, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return ready

    def finish(self) -> str:
        """Return the text still held back; an incomplete character at the end is left out."""
        ready = self._held + self._new_text().rstrip(REPLACEMENT)
        self._held, self._ids, self._returned = "", [], 0
        return ready

    def _complete_text(self) -> str:
        """Return the text of the ids that wait, unless it ends within a character."""
        text = self._new_text()
        if not text or text.endswith(REPLACEMENT):
            return ""
        self._ids = self._ids[self._returned :]
        self._returned = len(self._ids)
        return text

    def _new_text(self) -> str:
        known = self._codec.decode(self._ids[: self._returned])
        return self._codec.decode(self._ids)[len(known) :]


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of ``text`` that begins ``stop``."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


def stop_texts(stop: str | Sequence[str] | None) -> list[str]:
    """Return the stop texts of whatever a caller gives: one, several, or none."""
    texts = [stop] if isinstance(stop, str) else list(stop or ())
    if not all(isinstance(text, str) for text in texts):
        raise EdgedraftError("stop: expected a text or several", got=shown(stop))
    return texts
