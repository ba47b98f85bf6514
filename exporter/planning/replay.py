"""Replaying a trace: what any draft vocabulary size and draft length would have accepted, exactly, without running.

With a token order, position i is accepted for the K-token vocabulary exactly when low_i < K <= high_i: low_i is the
place of the target's token, high_i the first place of a token that the drafter likes better.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.trace.rows import AcceptanceTrace
from edgedraft.runtime.base.arrays import CountArray, Ids


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AcceptanceWindows:
    """int64 (positions,) ``low`` and ``high``, (answers + 1,) ``offsets``.

    ``cut_share`` is the share of positions whose target token lies below the trace's row while one more size might
    still accept it: they count as refused.
    """

    low: Ids
    high: Ids
    offsets: Ids
    cut_share: float

    def accepted(self, size: int) -> npt.NDArray[np.bool_]:
        """Which positions a draft vocabulary of ``size`` tokens gets right."""
        return (self.low < size) & (size <= self.high)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Replay:
    """Rounds that a draft length would have taken, one entry an answer: int64 (answers,), float64 where expected.

    ``full_rounds`` are those in which every draft was kept: the drafter then has two tokens to read next.
    """

    rounds: CountArray
    tokens: Ids
    accepted: CountArray
    evaluated: CountArray
    full_rounds: CountArray

    @property
    def block_efficiency(self) -> float:
        """τ: mean tokens per target pass over all answers."""
        return float(self.tokens.sum() / self.rounds.sum())

    @property
    def acceptance_rate(self) -> float:
        """Accepted over examined drafts; 0 when none was examined."""
        evaluated = float(self.evaluated.sum())
        return float(self.accepted.sum()) / evaluated if evaluated else 0.0


def acceptance_windows(trace: AcceptanceTrace, ranks: Ids) -> AcceptanceWindows:
    """Windows of every position under the token order whose inverse is ``ranks`` (vocab,)."""
    starts, whole = trace.row_starts, trace.wanted <= trace.cap
    preferred = ranks[trace.ids]
    preferred[(starts + trace.wanted - 1)[whole]] = len(ranks)  # a whole row ends with the target's token
    high = np.minimum.reduceat(preferred, starts) if len(starts) else starts
    low = ranks[trace.target_ids]
    cut = ~whole & (low < high)
    return AcceptanceWindows(
        low=low,
        high=np.where(cut, low, high),
        offsets=trace.offsets,
        cut_share=float(cut.mean()) if len(cut) else 0.0,
    )


def replay(windows: AcceptanceWindows, size: int, draft_length: int) -> Replay:
    """Go through every answer in rounds of ``draft_length`` drafts, as the runtime would.

    A round begins behind every refused draft, so each run of accepted positions stands alone: its rounds take
    ``draft_length`` + 1 tokens as long as there are so many, and the last one ends with the refusal or the answer.
    """
    accepted = windows.accepted(size)
    ends, refused = _runs(accepted, windows.offsets)
    tokens = np.diff(ends, prepend=0)
    full, rest = np.divmod(tokens, draft_length + 1)
    kept_by_last = rest - (refused & (rest > 0))
    full_by_last = kept_by_last == draft_length
    owner = np.searchsorted(windows.offsets, ends, side="left") - 1

    def by_answer(amounts: Ids) -> Ids:
        return np.bincount(owner, weights=amounts, minlength=len(windows.offsets) - 1).astype(np.int64)

    return Replay(
        rounds=by_answer(full + (rest > 0)),
        tokens=np.diff(windows.offsets),
        accepted=by_answer(full * draft_length + kept_by_last),
        evaluated=by_answer(full * draft_length + rest),
        full_rounds=by_answer(full + full_by_last),
    )


def _runs(accepted: npt.NDArray[np.bool_], offsets: Ids) -> tuple[Ids, npt.NDArray[np.bool_]]:
    """Behind which positions a run ends, by a refused draft or with its answer, and whether it was a refused draft."""
    ending = ~accepted
    ending[offsets[1:][np.diff(offsets) > 0] - 1] = True
    last = np.flatnonzero(ending)
    return last + 1, ~accepted[last]
