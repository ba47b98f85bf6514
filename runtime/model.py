"""LanguageModel: the three methods that decoding knows a model by."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]

CONTEXT_LENGTH = 2048
"""Tokens that a model's memory holds unless the caller says otherwise, at most what the model was made for."""


class LanguageModel(Protocol):
    """A causal language model that remembers what it has read."""

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
