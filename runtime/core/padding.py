"""Passes padded to the number of rows that is cheapest: some kernels take four rows faster than two."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.runtime.base.provider_names import WEBGPU
from edgedraft.runtime.core.model import LanguageModel, ModelFactory, ModelView, Pass
from edgedraft.runtime.core.switching import Switching, expect, longest_pass_end

_LEAST_GAIN = 0.05
"""Share of a pass's time that padding must save, so that noise in the plan's times does not decide it."""

_WEBGPU_TILE = 4
"""Rows from which WebGPU's int4 kernel computes tiles: 2 or 3 rows take 2 to 3 plain steps, 4 to 16 about 1.5."""


def padded_rows(rows: int, pass_seconds: Sequence[float], provider: str, minimum_rows: int = 1) -> int:
    """Return how many rows to give a pass that needs ``rows``: those that take least time on ``provider``.

    ``pass_seconds[i]`` are seconds of a pass over i + 1 rows there; empty if they were not measured there. Every pass
    gets ``minimum_rows`` at least. A single row, a plain step, is padded to no more than that.
    """
    rows = max(rows, minimum_rows) if rows else 0
    if rows < 2:
        return rows
    if not pass_seconds:
        return max(rows, _WEBGPU_TILE) if provider == WEBGPU else rows
    more = range(rows + 1, len(pass_seconds) + 1)
    best = min(more, key=lambda count: pass_seconds[count - 1], default=rows)
    pays = best > rows and pass_seconds[best - 1] < (1 - _LEAST_GAIN) * pass_seconds[rows - 1]
    return best if pays else rows


def paid_seconds(pass_seconds: Sequence[float]) -> tuple[float, ...]:
    """Return the seconds of passes that need 1, 2, ... rows and are padded by `padded_rows`."""
    return tuple(pass_seconds[padded_rows(i + 1, pass_seconds, "") - 1] for i in range(len(pass_seconds)))


class Padded(ModelView):
    """A model whose passes are padded by `padded_rows`; the padding is removed from the cache at once.

    A pass whose padding would not fit into the cache is not padded.
    """

    def __init__(self, model: LanguageModel, pass_seconds: Sequence[float], provider: str) -> None:
        super().__init__(model)
        self._pass_seconds = pass_seconds
        self._provider = provider

    @property
    def switch_length(self) -> int | None:
        """See `Switching.switch_length`."""
        return self._model.switch_length if isinstance(self._model, Switching) else None

    def expect(self, length: int) -> None:
        """See `Switching.expect`."""
        expect(self._model, length)

    def read(self, token_ids: Sequence[int]) -> Pass:
        """Append tokens as `LanguageModel.read` does; the result has no logits of the padding."""
        rows, held = len(token_ids), self.length
        added = padded_rows(rows, self._pass_seconds, self._provider) - rows
        if added == 0 or held + rows + added > longest_pass_end(self, held + rows, self.context_length):
            return self._model.read(token_ids)
        padded = self._model.read([*token_ids, *[token_ids[-1]] * added])
        self._model.rewind(held + rows)
        return Pass(logits=padded.logits[:rows], features=padded.features)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PaddedGraph:
    """A graph whose models' passes are padded; see `padded_rows`."""

    graph: ModelFactory
    pass_seconds: tuple[float, ...]
    provider: str

    def new_model(self) -> LanguageModel:
        """Return a model with an empty key/value cache."""
        return Padded(self.graph.new_model(), self.pass_seconds, self.provider)
