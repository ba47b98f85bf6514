"""Replay of a greedy trace: the drafts that any vocabulary size and draft length accepts, exactly, without running.

Under a token order, a draft vocabulary of K tokens has position i accepted exactly when low_i < K <= high_i: low_i is
the place of the target's token in the order, high_i the first place of a token that the drafter likes better.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.trace.rows import AcceptanceTrace
from edgedraft.runtime.base.arrays import CountArray, Ids

DRAFT_LENGTHS = tuple(range(1, 17))
"""The draft lengths that are planned for."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AcceptanceWindows:
    """The draft vocabulary sizes that accept each position: int64 ``low`` and ``high`` (positions,).

    ``offsets``, int64 (answers + 1,), say where each answer begins.

    ``cut_share`` is the share of positions whose target token lies below the trace's row while one more size might
    still accept it: they count as refused. ``deeper``: the windows of `AcceptanceTrace.deeper`.
    """

    low: Ids
    high: Ids
    offsets: Ids
    cut_share: float
    deeper: "tuple[AcceptanceWindows, ...]" = ()

    @property
    def depths(self) -> "tuple[AcceptanceWindows, ...]":
        """Return the windows of each depth that has its own."""
        return (self, *self.deeper)

    def accepted(self, size: int) -> npt.NDArray[np.bool_]:
        """Return the positions that a draft vocabulary of ``size`` tokens gets right, (positions,)."""
        return (self.low < size) & (size <= self.high)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Replay:
    """Rounds that decoding takes, one entry an answer: int64 (answers,), float64 where they are expected values.

    ``evaluated`` counts the drafts that the target examined, ``accepted`` those it kept. In ``full_rounds`` every draft
    was kept: the drafter then has two tokens to read next.
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
    """Compute the windows of every position under the token order whose inverse is ``ranks`` (vocab,)."""
    starts, whole = trace.row_starts, trace.wanted <= trace.cap
    preferred = ranks[trace.ids]
    # A whole row ends with the target's token, which is not one that the drafter likes better.
    preferred[(starts + trace.wanted - 1)[whole]] = len(ranks)
    high = np.minimum.reduceat(preferred, starts) if len(starts) else starts
    low = ranks[trace.target_ids]
    # Nobody knows whether a better-liked token lies behind the end of a cut row: count the position as refused.
    cut = ~whole & (low < high)
    return AcceptanceWindows(
        low=low,
        high=np.where(cut, low, high),
        offsets=trace.offsets,
        cut_share=float(cut.mean()) if len(cut) else 0.0,
        deeper=tuple(acceptance_windows(rows, ranks) for rows in trace.deeper),
    )


def replay(windows: AcceptanceWindows, size: int, draft_length: int) -> Replay:
    """Replay every answer in rounds of ``draft_length`` drafts, as the runtime decodes with an independent drafter.

    A round begins behind every refused draft, so each run of accepted positions stands alone: its rounds take
    ``draft_length`` + 1 tokens as long as there are so many. The last round ends with the refusal or the answer.
    """
    assert not windows.deeper, "replay_depths replays a drafter that feeds on its own states"
    accepted = windows.accepted(size)
    ends, refused = _runs(accepted, windows.offsets)
    tokens = np.diff(ends, prepend=0)
    full, rest = np.divmod(tokens, draft_length + 1)
    # Full rounds commit one token more than they draft. The last round's refused draft is a token, but not a kept one.
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
    """Return the places behind which runs end, and which of the runs a refused draft ends rather than the answer."""
    ending = ~accepted
    ending[offsets[1:][np.diff(offsets) > 0] - 1] = True
    last = np.flatnonzero(ending)
    return last + 1, ~accepted[last]
