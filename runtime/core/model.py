"""LanguageModel: the port that decoding knows a model by, and the passes that bring it to a prompt."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.verify import accepted_prefix

CONTEXT_LENGTH = 2048
"""Tokens that a model's memory holds unless the caller says otherwise, at most what the model was made for."""

PREFILL_ROWS = 32

Clock = Callable[[], float]
"""Seconds from any starting point on; `time.perf_counter` is one."""


def stopped_clock() -> float:
    """Return 0: the clock of a caller who measures nothing."""
    return 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pass:
    """Results of one `LanguageModel.read`.

    ``logits``: float32 (tokens, vocab); row i scores what follows the i-th token read. ``features`` is a handle to
    what the pass knows beyond its logits (hidden states), or None where the model gives none. The decoding loop hands
    it on and never looks into it; whoever makes it and whoever reads it agree on what it is. Its first len(logits) rows
    belong to the tokens read; there may be more. Both may be overwritten by the model's next `read`, not by `rewind`.
    """

    logits: Logits
    features: object = None


class LanguageModel(Protocol):
    """A causal language model that remembers what it has read."""

    @property
    def token_ids(self) -> Sequence[int]:
        """Return the tokens in the model's memory, oldest first."""
        ...

    @property
    def length(self) -> int:
        """Return how many tokens are in the model's memory."""
        ...

    @property
    def context_length(self) -> int:
        """Return how many tokens the memory can hold."""
        ...

    def read(self, token_ids: Sequence[int]) -> Pass:
        """Append tokens to the memory; row i of the result belongs to ``token_ids[i]``.

        Copy what must outlive the next call. Raises `EdgedraftError` when the memory would overflow.
        """
        ...

    def rewind(self, length: int) -> None:
        """Forget everything after the first ``length`` tokens."""
        ...


class ModelFactory(Protocol):
    """A loaded graph: any number of models can be opened on it, each with a memory of its own."""

    def new_model(self) -> LanguageModel:
        """Return a model that has read nothing."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PromptPiece:
    """One of the target's passes over a prompt: its tokens, and how many of the prompt's stand before them."""

    start: int
    token_ids: Sequence[int]
    target_pass: Pass


class PromptPasses:
    """A target's passes over a prompt, made piece by piece as a drafter asks for them.

    What the target's memory already holds of the prompt, from an answer before, is kept and not read again: those
    passes are gone. A drafter that reads features keeps a state of its own for them. Where that state is shorter than
    what the target holds, `since` makes the target read from there again; nobody else pays for that.
    """

    def __init__(self, model: LanguageModel, token_ids: Sequence[int], clock: Clock = stopped_clock) -> None:
        self._model = model
        self._token_ids = token_ids
        self._clock = clock
        self._last: Pass | None = None
        self.seconds = 0.0
        shared = accepted_prefix(model.token_ids, token_ids)
        # At least two tokens are read where there are two: one-row kernels may round differently.
        model.rewind(min(shared, max(len(token_ids) - 2, 0)))

    def since(self, length: int) -> Iterator[PromptPiece]:
        """Read and yield the passes over all but the first ``length`` tokens of the prompt.

        The first piece may start earlier, never later. Each is valid until the next is asked for.
        """
        self._model.rewind(min(self._model.length, length))
        for piece in prompt_pieces(self._token_ids[self._model.length :]):
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


def prefill(model: LanguageModel, token_ids: Sequence[int]) -> Logits:
    """Bring the memory to ``token_ids`` and return the last row of logits, (vocab,).

    The beginning that the memory shares with them is kept; the rest is read piece by piece, which bounds the logits
    buffer.
    """
    return PromptPasses(model, token_ids).last_row()


def catch_up(model: LanguageModel, token_ids: Sequence[int]) -> Logits:
    """Read the rest of ``token_ids``, whose beginning the memory must hold, and return the last row of logits."""
    *earlier, last = prompt_pieces(token_ids[model.length :])
    for piece in earlier:
        model.read(piece)
    logits: Logits = model.read(last).logits[-1]
    return logits


def prompt_pieces(token_ids: Sequence[int], rows: int = PREFILL_ROWS) -> Iterator[Sequence[int]]:
    """Cut ``token_ids`` into pieces of at most ``rows`` + 1, never leaving a last piece of one."""
    start = 0
    while start < len(token_ids):
        end = start + rows
        if end >= len(token_ids) - 1:
            end = len(token_ids)
        yield token_ids[start:end]
        start = end
