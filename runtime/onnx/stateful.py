"""Models with recurrent layers: exact rewinds by states that were kept, and by reading tokens again."""

from collections.abc import Sequence
from pathlib import Path

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.base.provider_names import CPU
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.model import PREFILL_ROWS, prompt_pieces
from edgedraft.runtime.onnx.exact import LONGEST_PASS
from edgedraft.runtime.onnx.memory import DecoderGraph, LogitsBuffer, OnnxModel
from edgedraft.runtime.onnx.states import StatefulCache

MOST_MERGED = 8
"""Tokens that are read again together with the next ones; more are read again in passes of their own.

Each row of a pass costs little beside the pass itself. But a graph without checkpoints keeps the states at the ends of
passes alone, and if every draft is refused in part, all of them would be read again in every pass.
"""


def require_own_states(path: Path, provider: str, in_memory: bool, switch_length: int | None) -> None:
    """Refuse recurrent states on a GPU, and beside rotary factors that change with the length of a text."""
    rule = f"{path}: recurrent states are kept in the system's memory"
    require(in_memory, rule, got=provider, remedy=f"use {CPU}")
    rule = f"{path}: recurrent states need rotary factors that do not change with the length of a text"
    require(switch_length is None, rule, got=switch_length, remedy="choose a shorter context")


class StatefulModel(OnnxModel):
    """A model with recurrent states; `rewind` is exact, whatever the length.

    ``length`` and ``token_ids`` are those of the text. The states may be those of an earlier token: the next `read`
    then begins there.
    """

    def __init__(self, graph: DecoderGraph, cache: StatefulCache, logits: LogitsBuffer | None = None) -> None:
        super().__init__(graph, cache, logits)
        self._stateful = cache

    def _logits_of(self, token_ids: Sequence[int]) -> Logits:
        start = self._stateful.states.start(self.length)
        while self.length - start > MOST_MERGED:
            start = self._read_again(start)
        again = self.token_ids[start:]
        # The first new token is never a draft: whatever is refused, its state is needed next.
        self._stateful.keep_at(self.length + 1)
        logits = self._logits.rows(len(again) + len(token_ids))
        return self._run([*again, *token_ids], start, logits)[len(again) :]

    def _read_again(self, start: int) -> int:
        """Read a piece of the text after its first ``start`` tokens again; return where it ends."""
        piece = next(prompt_pieces(self.token_ids[start:], PREFILL_ROWS))
        end = start + len(piece)
        self._stateful.keep_at(end)
        self._run(piece, start, self._logits.rows(len(piece)))
        self._stateful.written(end)
        return end

    def rewind(self, length: int) -> None:
        """See `LanguageModel.rewind`; nothing is computed before the next read."""
        super().rewind(length)
        self._stateful.states.forget_after(length)


class ExactStatefulModel(StatefulModel):
    """A model with recurrent states whose passes have 2 to `LONGEST_PASS` rows; its graph must give checkpoints.

    Where a pass would have one row, a second one follows it, and the states before that row are the ones kept.
    """

    def _logits_of(self, token_ids: Sequence[int]) -> Logits:
        states, length, total = self._stateful.states, self.length, self.length + len(token_ids)
        states.forget_after(length)  # of a read that failed between two passes
        start = states.start(length)
        if total - start == 1:
            if total < self._pass_end:
                return self._read_padded(token_ids[0])
            start = states.start(max(length - 1, 0))  # no pass may go on behind it: tokens are read again
        text, first = [*self.token_ids[start:], *token_ids], start
        logits = self._logits.rows(len(text))
        for piece in prompt_pieces(text, LONGEST_PASS - 1):
            end = start + len(piece)
            self._stateful.keep_at(length + 1 if end == total else end)
            self._run(piece, start, logits[start - first : end - first])
            if end < total:
                self._stateful.written(end)
            start = end
        return logits[length - first :]

    def _read_padded(self, token_id: int) -> Logits:
        """Read one token in a pass of two rows; keys, values and states of the other row are not kept."""
        self._stateful.keep_at(self.length + 1)
        return self._run([token_id, token_id], self.length, self._logits.rows(2))[:1]
