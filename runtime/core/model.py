"""LanguageModel: the interface of a model in decoding, and the passes that read a prompt."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.switching import expect
from edgedraft.runtime.core.verify import accepted_prefix

CONTEXT_LENGTH = 2048
"""Default size of a model's key/value cache in tokens; a model's own limit may be lower."""

PREFILL_ROWS = 32

Clock = Callable[[], float]
"""Seconds from any starting point on; `time.perf_counter` is one."""


def stopped_clock() -> float:
    """Return 0: the clock of a caller who measures nothing."""
    return 0.0


def nothing() -> None:
    """Do nothing before a pass: for an answer that shares its models' time with no other."""


class AnswerCancelledError(Exception):
    """Raised before a pass, to end an answer that is no longer wanted; both caches hold what was read so far."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pass:
    """Results of one `LanguageModel.read`.

    ``logits``: float32 (tokens, vocab); row i scores what follows the i-th token read. ``features`` is a handle to what
    the pass knows beyond its logits (hidden states), or None where the model gives none. The decoding loop only passes
    it on; its maker and its reader must agree on its contents. Its first len(logits) rows belong to the tokens read;
    there may be more. Both may be overwritten by the model's next `read`, not by `rewind`.
    """

    logits: Logits
    features: object = None


class LanguageModel(Protocol):
    """A causal language model with a key/value cache of the tokens it has read."""

    @property
    def token_ids(self) -> Sequence[int]:
        """Return the tokens in the model's key/value cache, oldest first."""
        ...

    @property
    def length(self) -> int:
        """Return how many tokens are in the model's key/value cache."""
        ...

    @property
    def context_length(self) -> int:
        """Return how many tokens the cache can hold."""
        ...

    def read(self, token_ids: Sequence[int]) -> Pass:
        """Append tokens to the cache; row i of the result belongs to ``token_ids[i]``.

        The next call may overwrite the result. Raises `EdgedraftError` if the tokens do not fit into the cache.
        """
        ...

    def rewind(self, length: int) -> None:
        """Forget everything after the first ``length`` tokens."""
        ...


class ModelView:
    """A base of models that read by way of another ``model``: all but `LanguageModel.read` is that one's."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    @property
    def token_ids(self) -> Sequence[int]:
        """See `LanguageModel.token_ids`."""
        return self._model.token_ids

    @property
    def length(self) -> int:
        """See `LanguageModel.length`."""
        return self._model.length

    @property
    def context_length(self) -> int:
        """See `LanguageModel.context_length`."""
        return self._model.context_length

    def rewind(self, length: int) -> None:
        """See `LanguageModel.rewind`."""
        self._model.rewind(length)


class ModelFactory(Protocol):
    """A loaded graph: any number of models can be opened on it, each with its own key/value cache."""

    def new_model(self) -> LanguageModel:
        """Return a model with an empty key/value cache."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PromptPiece:
    """One of the target's passes over a prompt: its tokens, and how many of the prompt's stand before them."""

    start: int
    token_ids: Sequence[int]
    target_pass: Pass


class PromptPasses:
    """A target's passes over a prompt, made piece by piece as a drafter asks for them.

    The part of the prompt that the target's cache still holds from an earlier answer is not read again: those passes
    are not available; ``cached`` counts its tokens. ``before_pass`` is called before each pass. A drafter that reads
    features keeps a state of its own for them. Where that state is shorter than what the target holds, `since` makes
    the target read from there again; for other drafters nothing is read twice.
    """

    def __init__(
        self,
        model: LanguageModel,
        token_ids: Sequence[int],
        clock: Clock = stopped_clock,
        before_pass: Callable[[], None] = nothing,
    ) -> None:
        self._model = model
        self._token_ids = token_ids
        self._clock = clock
        self.before_pass = before_pass
        self._last: Pass | None = None
        self.seconds = 0.0
        expect(model, len(token_ids))
        shared = accepted_prefix(model.token_ids, token_ids)
        # At least two tokens are read where there are two: one-row kernels may round differently.
        self.cached = min(shared, max(len(token_ids) - 2, 0))
        model.rewind(self.cached)

    def since(self, length: int) -> Iterator[PromptPiece]:
        """Read and yield the passes over all but the first ``length`` tokens of the prompt.

        The first piece may start earlier, never later. Each is valid until the next is asked for.
        """
        self._model.rewind(min(self._model.length, length))
        expect(self._model, len(self._token_ids))
        for piece in prompt_pieces(self._token_ids[self._model.length :]):
            self.before_pass()
            start, started = self._model.length, self._clock()
            self._last = self._model.read(piece)
            self.seconds += self._clock() - started
            yield PromptPiece(start=start, token_ids=piece, target_pass=self._last)

    def last_row(self) -> Logits:
        """Read what is still unread and return the logits (vocab,) of what follows the prompt."""
        for _ in self.since(self._model.length):
            pass
        if self._last is None:
            raise EdgedraftError("the prompt holds no token", remedy="write a prompt")
        row: Logits = self._last.logits[-1]
        return row


def prefill(model: LanguageModel, token_ids: Sequence[int], before_pass: Callable[[], None] = nothing) -> Logits:
    """Bring the cache to ``token_ids`` and return the last row of logits, (vocab,).

    The prefix that the cache shares with them is kept; the rest is read piece by piece, which bounds the logits buffer.
    """
    return PromptPasses(model, token_ids, before_pass=before_pass).last_row()


def catch_up(model: LanguageModel, token_ids: Sequence[int]) -> Logits:
    """Read the rest of ``token_ids``, whose beginning the cache must hold, and return the last row of logits."""
    logits: Logits = last_pass(model, token_ids).logits[-1]
    return logits


def last_pass(model: LanguageModel, token_ids: Sequence[int]) -> Pass:
    """Read the rest of ``token_ids``, whose beginning the cache must hold, and return the last pass."""
    expect(model, len(token_ids))
    *earlier, last = prompt_pieces(token_ids[model.length :])
    for piece in earlier:
        model.read(piece)
    return model.read(last)


def prompt_pieces(token_ids: Sequence[int], rows: int = PREFILL_ROWS) -> Iterator[Sequence[int]]:
    """Cut ``token_ids`` into pieces of at most ``rows`` + 1, never leaving a last piece of one."""
    start = 0
    while start < len(token_ids):
        end = start + rows
        if end >= len(token_ids) - 1:
            end = len(token_ids)
        yield token_ids[start:end]
        start = end
