"""Recurrent states of one text, kept after several of its tokens, so that the text can be rewound exactly.

A recurrent state cannot be shortened as keys and values can: it holds the whole text in an array of fixed size. A pass
reads the state after some token from one array and writes the state after a later token into another, so that keeping
a state is keeping its array; none is ever copied. A rewind to a token whose state was not kept goes back to the state
before it, and the tokens between are read again, in the next pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.runtime.base.arrays import AnyArray, Int64Array
from edgedraft.runtime.onnx.binding import Binding
from edgedraft.runtime.onnx.memory import Cache
from edgedraft.runtime.onnx.state_inputs import CHECKPOINT_ROWS, StateInput

KEPT_STATES = 8
"""States kept of one text beside the empty one: dense at its end, sparse at its beginning."""

MOST_STATES = KEPT_STATES + 3
"""States of one text in memory at most: those kept, that of the empty text, and the two that a pass writes."""

_LATEST = 3
"""States that are always kept: those before, within and after the last pass."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeptState:
    """The states of all layers after ``length`` tokens, an array for each."""

    length: int
    arrays: Sequence[AnyArray]


class RecurrentStates:
    """The kept states of one text, by length; the first is that of the empty text.

    With ``checkpoints`` the graph also gives the states after some of a pass's tokens; see `CHECKPOINT_ROWS`.
    """

    def __init__(self, inputs: Sequence[StateInput], *, checkpoints: bool) -> None:
        self._inputs, self._checkpoints = inputs, checkpoints
        self._kept = [KeptState(length=0, arrays=[np.zeros(state.shape, state.dtype) for state in inputs])]
        self._written: list[KeptState] = []
        self._spare: list[Sequence[AnyArray]] = []
        self._rows: Int64Array = np.zeros(1, dtype=np.int64)

    def start(self, length: int) -> int:
        """Return the largest number of tokens, ``length`` at most, whose states are kept."""
        return self._before(length).length

    def _before(self, length: int) -> KeptState:
        return next(kept for kept in reversed(self._kept) if kept.length <= length)

    def forget_after(self, length: int) -> None:
        """Forget all states of more than ``length`` tokens."""
        self._spare += [kept.arrays for kept in self._kept if kept.length > length]
        self._kept = [kept for kept in self._kept if kept.length <= length]

    def bind(self, binding: Binding, start: int, checkpoint: int, total: int) -> None:
        """Bind a pass that reads the states after ``start`` tokens and writes those after ``total``.

        A graph with checkpoints writes those after ``checkpoint`` tokens, too, which lie within the pass.
        """
        self._spare += [given_up.arrays for given_up in self._written]  # of a pass that failed
        before = self._before(start)
        for state, past in zip(self._inputs, before.arrays, strict=True):
            binding.bind_input(state.name, "cpu", 0, past.dtype, past.shape, past.ctypes.data)
        if not self._checkpoints:
            self._written = [self._write(binding, total, checkpoint=False)]
            return
        self._rows[0] = checkpoint - start
        binding.bind_input(CHECKPOINT_ROWS, "cpu", 0, np.int64, (1,), self._rows.ctypes.data)
        self._written = [self._write(binding, checkpoint, checkpoint=True)]
        if checkpoint < total:
            self._written.append(self._write(binding, total, checkpoint=False))
        else:  # the graph writes nothing twice: what would be the last states is empty
            self._leave_out(binding, before.arrays)

    def _write(self, binding: Binding, length: int, *, checkpoint: bool) -> KeptState:
        """Bind the outputs of the states after ``length`` tokens to arrays of their own."""
        state = self._new(length)
        for names, array in zip(self._inputs, state.arrays, strict=True):
            output = str(names.checkpoint if checkpoint else names.present)
            binding.bind_output(output, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        return state

    def _leave_out(self, binding: Binding, unwritten: Sequence[AnyArray]) -> None:
        """Bind the outputs of the states after the pass as empty arrays; they get addresses, but nothing is written."""
        for state, array in zip(self._inputs, unwritten, strict=True):
            binding.bind_output(state.present, "cpu", 0, array.dtype, (0, *array.shape[1:]), array.ctypes.data)

    def _new(self, length: int) -> KeptState:
        arrays = self._spare.pop() if self._spare else [np.empty(state.shape, state.dtype) for state in self._inputs]
        return KeptState(length=length, arrays=arrays)

    def written(self, total: int) -> None:
        """Keep the states of at most ``total`` tokens that the bound pass has written, and give up some if too many."""
        for state in self._written:
            if state.length <= total:
                self._kept.append(state)
            else:  # of a row that only fills the pass
                self._spare.append(state.arrays)
        self._written = []
        while len(self._kept) > KEPT_STATES + 1:
            self._spare.append(self._kept.pop(self._least_missed()).arrays)

    def _least_missed(self) -> int:
        """Return which state to give up: the gap it leaves is smallest, as a share of its distance from the end."""
        lengths = [kept.length for kept in self._kept]
        end, places = lengths[-1], range(1, len(lengths) - _LATEST)
        return min(places, key=lambda i: (lengths[i + 1] - lengths[i - 1]) / (end - lengths[i - 1]))


class StatefulCache:
    """A `Cache` with recurrent states beside its keys and values."""

    def __init__(self, keys_and_values: Cache, states: RecurrentStates) -> None:
        self._keys_and_values, self.states = keys_and_values, states
        self._checkpoint = 0

    @property
    def context_length(self) -> int:
        """See `Cache.context_length`."""
        return self._keys_and_values.context_length

    def keep_at(self, checkpoint: int) -> None:
        """Have the next pass also keep the states after ``checkpoint`` tokens of the text, where the graph can."""
        self._checkpoint = checkpoint

    def bound(self, length: int, total: int) -> Binding:
        """See `Cache.bound`."""
        binding = self._keys_and_values.bound(length, total)
        self.states.bind(binding, length, min(max(self._checkpoint, length), total), total)
        return binding

    def written(self, total: int) -> None:
        """See `Cache.written`."""
        self._keys_and_values.written(total)
        self.states.written(total)
