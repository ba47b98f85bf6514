"""Replaying a trace: what any draft vocabulary size and draft length would have accepted, exactly, without running.

With a token order, position i is accepted for the K-token vocabulary exactly when low_i < K <= high_i: low_i is the
place of the target's token, high_i the first place of a token that the drafter likes better.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgedraft.calibration.trace import AcceptanceTrace
from edgedraft.runtime.index_map import Ids


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AcceptanceWindows:
    """int64 (positions,) ``low`` and ``high``, (answers + 1,) ``offsets``.

    ``cut_share`` is the share of positions whose target token lies below the trace's top tokens while one more size
    might still accept it: they count as refused.
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
    """Rounds that a draft length would have taken, one entry an answer, int64 (answers,).

    ``full_rounds`` are those in which every draft was kept: the drafter then has two tokens to read next.
    """

    rounds: Ids
    tokens: Ids
    accepted: Ids
    evaluated: Ids
    full_rounds: Ids

    @property
    def block_efficiency(self) -> float:
        """τ: mean tokens per target pass over all answers."""
        return float(self.tokens.sum() / self.rounds.sum())

    @property
    def acceptance_rate(self) -> float:
        """Accepted over examined drafts."""
        return float(self.accepted.sum() / max(int(self.evaluated.sum()), 1))


def acceptance_windows(trace: AcceptanceTrace, ranks: Ids) -> AcceptanceWindows:
    """Windows of every position under the token order whose inverse is ``ranks`` (vocab,)."""
    vocab_size = len(ranks)
    hits = trace.drafter_top == trace.target_ids[:, None]
    found = hits.any(axis=1)
    place = np.where(found, hits.argmax(axis=1), trace.drafter_top.shape[1])
    preferred = np.arange(trace.drafter_top.shape[1]) < place[:, None]
    high = np.where(preferred, ranks[trace.drafter_top], vocab_size).min(axis=1)
    low = ranks[trace.target_ids]
    cut = ~found & (low < high)
    return AcceptanceWindows(
        low=low,
        high=np.where(cut, low, high),
        offsets=trace.offsets,
        cut_share=float(cut.mean()) if len(cut) else 0.0,
    )


def replay(windows: AcceptanceWindows, size: int, draft_length: int) -> Replay:
    """Walk every answer in rounds of ``draft_length`` drafts, as the runtime would."""
    accepted = windows.accepted(size)
    bounds = zip(windows.offsets[:-1], windows.offsets[1:], strict=True)
    rows = [_walk(accepted[start:end], draft_length) for start, end in bounds]
    columns = np.asarray(rows, dtype=np.int64).reshape(-1, 5).T
    return Replay(
        rounds=columns[0], tokens=columns[1], accepted=columns[2], evaluated=columns[3], full_rounds=columns[4]
    )


def _walk(accepted: npt.NDArray[np.bool_], draft_length: int) -> tuple[int, int, int, int, int]:
    """Rounds, tokens, accepted, evaluated and full rounds of one answer."""
    runs = _runs(accepted)
    position = rounds = kept = evaluated = full = 0
    while position < len(accepted):
        run = min(int(runs[position]), draft_length)
        rounds += 1
        kept += run
        refused = position + run < len(accepted)
        evaluated += min(run + refused, draft_length)
        full += run == draft_length
        position += run + 1
    return rounds, len(accepted), kept, evaluated, full


def _runs(accepted: npt.NDArray[np.bool_]) -> Ids:
    """How many accepted positions begin at each position."""
    runs = np.zeros(len(accepted) + 1, dtype=np.int64)
    for position in range(len(accepted) - 1, -1, -1):
        runs[position] = runs[position + 1] + 1 if accepted[position] else 0
    return runs[:-1]
