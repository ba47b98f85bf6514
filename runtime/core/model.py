"""LanguageModel: the three methods that decoding knows a model by, and how its memory is reused."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.core.verify import accepted_prefix

CONTEXT_LENGTH = 2048
"""Tokens that a model's memory holds unless the caller says otherwise, at most what the model was made for."""

PREFILL_ROWS = 32


class LanguageModel(Protocol):
    """A causal language model that remembers what it has read."""

    @property
    def token_ids(self) -> Sequence[int]:
        """The tokens in the model's memory, oldest first."""
        ...

    @property
    def length(self) -> int:
        """How many tokens are in the model's memory."""
        ...

    @property
    def context_length(self) -> int:
        """How many tokens the memory can hold."""
        ...

    def read(self, token_ids: Sequence[int]) -> Logits:
        """Append tokens; row i of the (rows, vocab) float32 result scores what follows ``token_ids[: i + 1]``.

        The array may be reused by the next call: copy what must outlive it. Raises `EdgedraftError` when the
        memory would overflow.
        """
        ...

    def rewind(self, length: int) -> None:
        """Forget everything after the first ``length`` tokens."""
        ...


def prefill(model: LanguageModel, token_ids: Sequence[int]) -> Logits:
    """Bring the memory to ``token_ids``, keeping the beginning it shares with them; the last row of logits, (vocab,).

    What is left is read piece by piece, which bounds the logits buffer; at least two tokens are read where there are
    two, because one-row kernels may round differently.
    """
    shared = accepted_prefix(model.token_ids, token_ids)
    model.rewind(min(shared, max(len(token_ids) - 2, 0)))
    return catch_up(model, token_ids)


def catch_up(model: LanguageModel, token_ids: Sequence[int]) -> Logits:
    """Read what ``token_ids`` go on with after the memory, which must be their beginning; the last row, (vocab,)."""
    *earlier, last = prompt_pieces(token_ids[model.length :])
    for piece in earlier:
        model.read(piece)
    logits: Logits = model.read(last)[-1]
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
