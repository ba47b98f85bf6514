"""Replay where a draft's fate depends on the position where its round began and on its depth.

A round of γ drafts that begins at position t examines the draft for position t + d by the row of (t, d), d < γ, until
one is refused. So whether position i comes as the j-th draft of its round decides all that follows: the answers are
walked position by position, all of them and all draft vocabulary sizes abreast.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from edgedraft.exporter.planning.replay import AcceptanceWindows, Replay
from edgedraft.runtime.base.arrays import Ids, Int64Array
from edgedraft.runtime.base.records import require


def replay_depths(windows: AcceptanceWindows, size: int, draft_length: int) -> Replay:
    """Replay every answer at one draft vocabulary size, as `edgedraft.exporter.planning.replay.replay` does."""
    counts = walk(windows, np.array([size]), draft_length)
    return Replay(
        rounds=counts.rounds[0],
        tokens=np.diff(windows.offsets),
        accepted=counts.accepted[0],
        evaluated=counts.evaluated[0],
        full_rounds=counts.full_rounds[0],
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WalkCounts:
    """The counts of a `Replay`, int64 (sizes, answers) each."""

    rounds: Int64Array
    accepted: Int64Array
    evaluated: Int64Array
    full_rounds: Int64Array


def walk(windows: AcceptanceWindows, sizes: Ids, draft_length: int) -> WalkCounts:
    """Walk all answers at each of ``sizes`` in rounds of ``draft_length`` drafts; exact."""
    depths = windows.depths
    require_depths(len(depths), draft_length)
    offsets = [each.offsets for each in depths[:draft_length]]
    # One more column, which accepts nothing: in it stands the token that is the target's own after a full round.
    low = np.pad(by_position([each.low for each in depths[:draft_length]], offsets), ((0, 0), (0, 0), (0, 1)))
    high = np.pad(by_position([each.high for each in depths[:draft_length]], offsets), ((0, 0), (0, 0), (0, 1)))
    lengths, answers = np.diff(windows.offsets), np.arange(low.shape[1])
    as_draft = np.zeros((len(sizes), len(answers)), dtype=np.int64)
    rounds, accepted, evaluated, full_rounds = np.zeros((4, *as_draft.shape), dtype=np.int64)
    for place in range(len(low)):
        running = place < lengths
        lows, highs = low[place][answers, as_draft], high[place][answers, as_draft]
        kept = (lows < sizes[:, None]) & (sizes[:, None] <= highs) & running
        rounds += (as_draft == 0) & running
        evaluated += (as_draft < draft_length) & running
        accepted += kept
        full_rounds += kept & (as_draft == draft_length - 1)
        as_draft = np.where(kept, as_draft + 1, 0)
    return WalkCounts(rounds=rounds, accepted=accepted, evaluated=evaluated, full_rounds=full_rounds)


Number = TypeVar("Number", np.int64, np.float64)


def by_position(values: Sequence[npt.NDArray[Number]], offsets: Sequence[Ids]) -> npt.NDArray[Number]:
    """Lay out each depth's rows by the position that they decide: (positions of the longest answer, answers, depths).

    0 where no round reaches: in the first positions of an answer no draft is that deep.
    """
    lengths = np.diff(offsets[0])
    laid_out = np.zeros((int(lengths.max(initial=0)), len(lengths), len(values)), dtype=values[0].dtype)
    for depth, (rows, bounds) in enumerate(zip(values, offsets, strict=True)):
        owners = np.repeat(np.arange(len(lengths)), np.diff(bounds))
        laid_out[np.arange(len(rows)) - bounds[owners] + depth, owners, depth] = rows
    return laid_out


def require_depths(depths: int, draft_length: int) -> None:
    """Refuse a draft that is longer than a trace has depths."""
    rule = f"replay: this drafter was traced for drafts of 1..{depths} tokens"
    require(draft_length <= depths, rule, got=draft_length, remedy="choose a shorter draft length")
