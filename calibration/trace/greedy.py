"""Tracing greedy answers: what the drafter would have proposed at every position of the target's own text."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace.rows import AcceptanceTrace, answer_offsets, least_cap
from edgedraft.runtime.base.arrays import Float32Array, Ids, Int32Array, Logits
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.core.model import LanguageModel, prompt_pieces
from edgedraft.runtime.core.verify import require_finite

MOST_IDS = 1024
"""No row is longer. A pair that agrees takes about two ids a position; one that never does, under a gigabyte in all for
100,000 positions."""


def trace_answers(
    drafter: LanguageModel, answers: Sequence[SampledAnswer], most: int = MOST_IDS, progress: Progress = silent
) -> AcceptanceTrace:
    """Teacher-force the full-vocabulary drafter over the target's greedy answers.

    A draft is judged only after all earlier drafts of its round were right, so its context is the target's own text:
    one pass over that text sees every draft that any draft length would propose. Rows have up to ``most`` ids; the cap
    that is kept is the least that cuts under one row in a thousand.
    """
    rows = GreedyRows(most)
    for done, entry in enumerate(answers):
        progress("answers traced", done, len(answers))
        for row, target_id in zip(answer_logits(drafter, entry), entry.token_ids[1:], strict=True):
            rows.add(row, target_id)
    progress("answers traced", len(answers), len(answers))
    return rows.trace(answer_offsets([len(entry.token_ids) for entry in answers]))


class GreedyRows:
    """Collects the rows of one depth, each with up to ``most`` ids."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._target_ids: list[int] = []
        self._places: list[int] = []
        self._rows: list[tuple[Int32Array, Float32Array]] = []

    def add(self, row: Logits, target_id: int) -> None:
        """Add the row of the drafter's logits (vocab,) at a position where the target's token is ``target_id``."""
        place, ids = preferred(row, target_id, self._most)
        self._target_ids.append(target_id)
        self._places.append(place)
        self._rows.append((ids.astype(np.int32), log_probabilities(row, ids)))

    def trace(self, offsets: Ids, deeper: tuple[AcceptanceTrace, ...] = ()) -> AcceptanceTrace:
        """Return the rows as a trace; they are cut to the least cap that cuts under one row in a thousand."""
        wanted = np.asarray(self._places, dtype=np.int64) + 1
        cap = least_cap(wanted, self._most)
        empty = np.zeros(0)
        return AcceptanceTrace(
            target_ids=np.asarray(self._target_ids, dtype=np.int64),
            wanted=wanted,
            ids=np.concatenate([empty, *(ids[:cap] for ids, _ in self._rows)]).astype(np.int32),
            log_probs_by_drafter=np.concatenate([empty, *(row[:cap] for _, row in self._rows)]).astype(np.float32),
            offsets=offsets,
            cap=cap,
            deeper=deeper,
        )


def preferred(row: Logits, target_id: int, most: int) -> tuple[int, Ids]:
    """Count the (vocab,) logits before ``target_id``; return also the first ``most`` of them and it, best first.

    Equal logits go by smaller id, as arg-max takes them.
    """
    better = np.flatnonzero(row > row[target_id])
    equal = np.flatnonzero(row[:target_id] == row[target_id])
    ordered = better[np.argsort(-row[better], kind="stable")]
    return len(better) + len(equal), np.concatenate([ordered, equal, [target_id]])[:most]


def log_probabilities(row: Logits, ids: npt.NDArray[np.integer]) -> Float32Array:
    """Natural logs of the probabilities that (vocab,) logits give ``ids``; logits that are no numbers are refused."""
    top = float(row.max())
    require_finite(bool(np.isfinite(top)), "the models")
    total = top + np.log(np.exp(row - top).sum(dtype=np.float64))
    scores: Float32Array = (row[ids].astype(np.float64) - total).astype(np.float32)
    return scores


def answer_logits(model: LanguageModel, entry: SampledAnswer) -> Iterator[Logits]:
    """Yield the model's logits (vocab,) for every token of the answer after its first, read piece by piece."""
    model.rewind(0)
    for piece in prompt_pieces(entry.prompt_ids):
        model.read(piece)
    for piece in prompt_pieces(entry.token_ids[:-1]):
        yield from model.read(piece).logits
