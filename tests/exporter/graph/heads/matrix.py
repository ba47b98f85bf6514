"""One cell of the matrix: does a trimmed head give the full one's kept logits, bit for bit, in both layouts?"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.head import expand_logits, trim_head
from edgedraft.exporter.graph.loading import LOGITS
from edgedraft.runtime.core.index_map import IndexMap

REDUCED, EXPANDED = "reduced", "expanded"
LAYOUTS = (REDUCED, EXPANDED)

Feed = Mapping[str, np.ndarray]


def random_map(size: int, width: int, seed: int) -> IndexMap:
    ids = np.random.default_rng(seed).choice(width, size, replace=False)
    return IndexMap(target_ids=np.sort(ids).astype(np.int64), target_vocab_size=width)


def differences(
    make: Callable[[], ir.Model], kept: IndexMap, feeds: Sequence[Feed], open_session: Callable
) -> dict[str, float]:
    """By layout the largest difference from the full model's kept logits; 0 only where all bits are the same.

    Infinite where an expanded graph has anything but -inf at a token that is not kept.
    """
    model = make()
    full = _logits(model, feeds, open_session)
    trim_head(model, kept)
    found = {REDUCED: _reduced(full, _logits(model, feeds, open_session), kept)}
    expand_logits(model, kept)
    return found | {EXPANDED: _expanded(full, _logits(model, feeds, open_session), kept)}


def difference(wanted: np.ndarray, got: np.ndarray) -> float:
    """The largest absolute difference, 0 only for the same bits."""
    assert (wanted.shape, wanted.dtype) == (got.shape, got.dtype)
    if wanted.tobytes() == got.tobytes():
        return 0.0
    return max(float(np.abs(wanted - got).max()), 1e-30)  # zeros of two signs differ too


def _logits(model: ir.Model, feeds: Sequence[Feed], open_session: Callable) -> list[np.ndarray]:
    session = open_session(model)
    return [session.run([LOGITS], dict(feed))[0] for feed in feeds]


def _reduced(full: Sequence[np.ndarray], got: Sequence[np.ndarray], kept: IndexMap) -> float:
    pairs = zip(full, got, strict=True)
    return max(difference(np.ascontiguousarray(a[..., kept.target_ids]), b) for a, b in pairs)


def _expanded(full: Sequence[np.ndarray], got: Sequence[np.ndarray], kept: IndexMap) -> float:
    dropped = np.delete(np.arange(kept.target_vocab_size), kept.target_ids)
    if not all(
        logits.shape[-1] == kept.target_vocab_size and np.isneginf(logits[..., dropped]).all() for logits in got
    ):
        return np.inf
    return _reduced(full, [np.ascontiguousarray(logits[..., kept.target_ids]) for logits in got], kept)
