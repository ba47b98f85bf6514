"""Features: the hidden states that a tapped target returns beside its logits, one row for each token read."""

from collections.abc import Callable

import numpy as np

from edgedraft.runtime.base.arrays import Float32Array
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.onnx.binding import Binding
from edgedraft.runtime.onnx.signature import FEATURES


class FeatureRows:
    """Collects the features of one read's tokens from its passes, which may begin before those tokens.

    ``width`` is 0 for a graph without features; then nothing is bound.
    """

    def __init__(self, width: int) -> None:
        self._buffer = self._rows = np.empty((0, width), dtype=np.float32)
        self._first = self._count = 0

    def begin(self, first: int, count: int) -> None:
        """Make room for a read of ``count`` tokens after the first ``first`` tokens, and for a row of padding."""
        if len(self._buffer) < count + 1:
            self._buffer = np.empty((count + 1, self._buffer.shape[1]), dtype=np.float32)
        self._rows, self._first, self._count = self._buffer, first, count

    def bind(self, binding: Binding, start: int, end: int) -> None:
        """Bind the output of a pass over the tokens ``start``..``end`` of the text, so that it fills their rows.

        Rows of tokens that were read before are written too, and left out of `rows`.
        """
        width = self._buffer.shape[1]
        if not width:
            return
        before = max(self._first - start, 0)
        if before:
            whole = np.empty((before + self._count + 1, width), dtype=np.float32)
            self._rows, filled = whole[before:], whole[: end - start]
        else:
            filled = self._rows[start - self._first : end - self._first]
        binding.bind_output(FEATURES, "cpu", 0, filled.dtype, (1, *filled.shape), filled.ctypes.data)

    def rows(self) -> Float32Array | None:
        """Return the features of the tokens read, (tokens, width), as a view that the next read overwrites; or None."""
        return self._rows[: self._count] if self._buffer.shape[1] else None


def joined(first: Pass, more: Callable[[], Pass]) -> Pass:
    """Return a pass, and the one that ``more`` then makes, as one; the second overwrites the first one's arrays."""
    logits, features = first.logits.copy(), first.features
    kept = features.copy() if isinstance(features, np.ndarray) else None
    second = more()
    both = None if kept is None else np.concatenate([kept, features_of(second)])
    return Pass(logits=np.concatenate([logits, second.logits]), features=both)


def features_of(target_pass: Pass) -> Float32Array:
    """Return the features that `FeatureRows` put into a pass, (tokens or more, width)."""
    features = target_pass.features
    if not isinstance(features, np.ndarray):
        rule = "the drafter reads the target's states, and this target's graph gives none"
        raise EdgedraftError(rule, remedy="export the pair again")
    return features
