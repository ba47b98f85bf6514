"""Run graphs with two tables of rotary factors: one for texts up to a length, another for longer ones."""

from collections.abc import Sequence

from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.model import Pass, prompt_pieces
from edgedraft.runtime.onnx.exact import ExactModel
from edgedraft.runtime.onnx.features import joined
from edgedraft.runtime.onnx.memory import Cache, DecoderGraph, LogitsBuffer, OnnxModel, require_context


class TwoTableModel(OnnxModel):
    """A `LanguageModel` whose keys are all rotated by the table for the text's length.

    The graph uses the second table, for every position of a pass, if the mask of the pass is longer than
    ``switch_length``. It does not change keys that are in the cache. So a pass never crosses the switch, the mask of a
    short piece of a long text is lengthened, and a text that passes the switch is read again from its start.
    """

    def __init__(self, graph: DecoderGraph, cache: Cache, logits: LogitsBuffer | None, *, switch_length: int) -> None:
        super().__init__(graph, cache, logits)
        self._switch = switch_length
        self._expected = 0
        self._use(long=False)

    @property
    def switch_length(self) -> int:
        """Return the length of the longest text that uses the first table."""
        return self._switch

    def expect(self, length: int) -> None:
        """See `Switching.expect`."""
        self._expected = length
        if self._long != (length > self._switch):
            self.rewind(0)
            self._use(long=not self._long)

    def read(self, token_ids: Sequence[int]) -> Pass:
        """See `LanguageModel.read`; the table of a row follows from its text's length, or the expected one."""
        start, total = self.length, self.length + len(token_ids)
        require(len(token_ids) > 0, "nothing to read", got="0 tokens")
        require_context(total, self.context_length)
        before = self._switch - start
        if 0 < before < len(token_ids) and self._expected <= self._switch:
            return joined(self.read(token_ids[:before]), lambda: self.read(token_ids[before:]))
        self._turn(long=max(total, self._expected) > self._switch)
        result = super().read(token_ids)
        if total >= self._expected:
            self._expected = 0
        return result

    def _turn(self, *, long: bool) -> None:
        """Change to the other table if needed, and read all tokens again with it."""
        if long == self._long:
            return
        held = list(self.token_ids)
        self.rewind(0)
        self._use(long=long)
        for piece in prompt_pieces(held):
            super().read(piece)

    def _use(self, *, long: bool) -> None:
        self._long = long
        self.limit_passes(least_mask=self._switch + 1 if long else 0, end=None if long else self._switch)


class ExactTwoTableModel(TwoTableModel, ExactModel):
    """A model with two tables, in exact mode."""
