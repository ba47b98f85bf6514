"""Timing kept apart from decoding: a `LanguageModel` that counts the seconds its inner model takes."""

from collections.abc import Callable, Sequence

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.core.model import LanguageModel

Clock = Callable[[], float]


class TimedModel:
    """Wraps a model; ``seconds`` and ``calls`` add up what its ``read`` calls took on ``clock``."""

    def __init__(self, model: LanguageModel, clock: Clock) -> None:
        self._model = model
        self._clock = clock
        self.seconds = 0.0
        self.calls = 0

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

    def read(self, token_ids: Sequence[int]) -> Logits:
        """See `LanguageModel.read`."""
        started = self._clock()
        logits = self._model.read(token_ids)
        self.seconds += self._clock() - started
        self.calls += 1
        return logits

    def rewind(self, length: int) -> None:
        """See `LanguageModel.rewind`."""
        self._model.rewind(length)
