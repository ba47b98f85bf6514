"""The records of a trace: for every position of the target's answers, the few tokens that decide a draft."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from edgedraft.runtime.base.arrays import Float32Array, Ids, Int32Array
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.sampling import SamplingSettings

POSITIONS_FOR_ONE_CUT = 1000
"""One position in so many may need more ids than the cap allows."""

MOST_ENTRIES, LEAST_IDS = 50_000_000, 64
"""Ids in all rows of a trace with several depths, half a gigabyte; each row may have so many in any case."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TracedRows:
    """Rows of ids, one a position and end to end, over several answers end to end.

    ``target_ids``: int64 (positions,), the target's token; ``wanted``: int64 (positions,), how many ids decide the
    position, at least 1, of which the row has at most ``cap``; ``ids``: int32 (entries,), the drafter's best first,
    equal logits by smaller id, the drafter's very best always among them; ``log_probs_by_drafter``: float32
    (entries,), of the full-vocabulary drafter, before temperature and filters; ``offsets``: int64 (answers + 1,),
    where each answer begins. An answer's first token is left out: the target's pass over the prompt yields it and
    nothing is drafted for it.

    These rows decide the first draft of a round, at depth 0. A drafter that feeds on its own states drafts otherwise
    at depth d, and ``deeper[d - 1]`` has those rows: row r of an answer is that of the round that begins at position r
    and decides its draft for position r + d, so that each answer has one row fewer than at the depth before. Without
    ``deeper``, the rows here decide the drafts at every depth: an independent drafter only sees tokens, and those
    before an examined draft are the target's.
    """

    target_ids: Ids
    wanted: Ids
    ids: Int32Array
    log_probs_by_drafter: Float32Array
    offsets: Ids
    cap: int
    deeper: tuple[Self, ...] = ()

    def __post_init__(self) -> None:
        self._check_rows()
        self._check_depths()

    def _check_rows(self) -> None:
        positions, bounds = len(self.target_ids), self.offsets
        lengths = f"{positions}, {len(self.wanted)} and {bounds[-1:].tolist()}"
        fits = positions == len(self.wanted) and bounds[-1:].tolist() == [positions]
        require(fits, "trace: expected one target token, one row and one place in an answer a position", got=lengths)
        rises = int(bounds[0]) == 0 and bool((np.diff(bounds) >= 0).all())
        require(rises, "trace: offsets: expected 0, then no step down")
        require(self.cap >= 1, "trace: cap: expected 1 or more", got=self.cap)
        require(bool((self.wanted >= 1).all()), "trace: wanted: expected 1 or more a position")
        entries = int(self.row_lengths.sum())
        held = f"{len(self.ids)} and {len(self.log_probs_by_drafter)}"
        whole = entries == len(self.ids) == len(self.log_probs_by_drafter)
        require(whole, f"trace: expected {entries} ids and log-probabilities", got=held)

    def _check_depths(self) -> None:
        lengths = np.diff(self.offsets)
        for depth, rows in enumerate(self.deeper, start=1):
            lengths = np.maximum(lengths - 1, 0)
            fits = not rows.deeper and np.array_equal(np.diff(rows.offsets), lengths)
            require(fits, f"trace: depth {depth}: expected one row fewer for each answer than at the depth before")
            ids = self.target_ids[self.positions_of(depth)]
            same = np.array_equal(rows.target_ids, ids)
            require(same, f"trace: depth {depth}: expected the target's tokens {depth} positions on")

    @property
    def depths(self) -> "tuple[Self, ...]":
        """Return the rows of each depth that has its own, the first ones first."""
        return (self, *self.deeper)

    @property
    def most_drafts(self) -> int | None:
        """Return the longest draft that the rows decide; None if they decide any."""
        return len(self.depths) if self.deeper else None

    def positions_of(self, depth: int) -> Ids:
        """int64 (rows,): the positions that the rows of ``depth`` decide."""
        bounds = zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True)
        empty = np.zeros(0, dtype=np.int64)
        return np.concatenate([empty, *(np.arange(min(start + depth, end), end) for start, end in bounds)])

    @property
    def answers(self) -> int:
        """Return the number of answers that the trace holds."""
        return len(self.offsets) - 1

    @property
    def row_lengths(self) -> Ids:
        """int64 (positions,): how many ids each row has."""
        return np.minimum(self.wanted, self.cap)

    @property
    def row_starts(self) -> Ids:
        """int64 (positions,): where each row begins among ``ids``."""
        lengths = self.row_lengths
        return np.cumsum(lengths) - lengths

    @property
    def cut_share(self) -> float:
        """Return the share of rows, of all depths, that are truncated: they need more than ``cap`` ids."""
        cut = [rows.wanted > rows.cap for rows in self.depths]
        return float(np.concatenate(cut).mean()) if len(self.wanted) else 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AcceptanceTrace(TracedRows):
    """Greedy answers: a row has the tokens that the drafter likes better than the target's, then the target's own.

    It is a record apart from `DrawnTrace` because greedy replay needs a whole beginning of the drafter's order, which
    the rows of drawn answers are not.
    """

    def __post_init__(self) -> None:
        TracedRows.__post_init__(self)
        whole = self.wanted <= self.cap
        last = (self.row_starts + self.wanted - 1)[whole]
        fits = bool((self.ids[last] == self.target_ids[whole]).all())
        require(fits, "trace: expected every whole row to end with the target's token")

    @property
    def places(self) -> Ids:
        """int64 (positions,): the true place of the target's token in the drafter's order, 0 the best."""
        return self.wanted - 1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DrawnTrace(TracedRows):
    """Answers drawn by ``settings``: a row has the likely tokens of both models and the target's own.

    ``log_probs_by_drafter`` are of adjusted logits (repetition penalty and bias), still before temperature and filters:
    these work on a trimmed drafter's row, so they are the replay's. ``log_probs_by_target``: float32 (entries,), what
    the target's tokens are drawn by, after all steps; -inf where a filter left the token out. What a row lacks, each
    float32 (positions,): ``left_by_target`` of the target's probability, ``left_by_drafter`` of the drafter's at the
    temperature without filters, ``best_left`` the greatest of its log-probabilities; -inf where nothing is left out.
    """

    log_probs_by_target: Float32Array
    left_by_target: Float32Array
    left_by_drafter: Float32Array
    best_left: Float32Array
    settings: SamplingSettings

    def __post_init__(self) -> None:
        TracedRows.__post_init__(self)
        require(
            len(self.log_probs_by_target) == len(self.ids),
            "trace: expected the target's log-probability of every id",
            got=f"{len(self.log_probs_by_target)} of {len(self.ids)}",
        )
        lefts = (self.left_by_target, self.left_by_drafter, self.best_left)
        lengths = ", ".join(str(len(left)) for left in lefts)
        fits = all(len(left) == len(self.target_ids) for left in lefts)
        require(fits, f"trace: expected what {len(self.target_ids)} positions lack", got=lengths)


def ids_per_row(rows: int, most: int) -> int:
    """Return how many ids a row may have, at most ``most``, so that ``rows`` of them stay within `MOST_ENTRIES`."""
    return min(max(MOST_ENTRIES // max(rows, 1), LEAST_IDS), most)


def least_cap(wanted: Ids, most: int) -> int:
    """Return the smallest row length that truncates fewer than one in `POSITIONS_FOR_ONE_CUT` rows.

    ``wanted`` holds the full length of each row. The result is at most ``most``, even if that truncates more rows.
    """
    if len(wanted) == 0:
        return 1
    may_be_cut = (len(wanted) - 1) // POSITIONS_FOR_ONE_CUT
    return int(min(np.sort(wanted)[len(wanted) - 1 - may_be_cut], most))


def answer_offsets(lengths: list[int]) -> Ids:
    """Return the place where each answer begins, and the end: answers of ``lengths`` tokens without their first."""
    return np.cumsum([0, *(length - 1 for length in lengths)]).astype(np.int64)


def first_choices(trace: TracedRows) -> Ids:
    """Return the full-vocabulary drafter's best token of each row at depth 0: int64 (positions,)."""
    return trace.ids[trace.row_starts].astype(np.int64)


def accepted_tokens(trace: TracedRows) -> tuple[Ids, Ids]:
    """Return the target's tokens that the full-vocabulary drafter likes best, and where each answer's begin.

    int64 (accepted,) and (answers + 1,), at depth 0. Greedily these are the drafts that the target kept. Of drawn
    answers they are the tokens most likely drafted and kept; the expected number would be a fraction of a token, and
    counts are whole.
    """
    best = first_choices(trace) == trace.target_ids
    return trace.target_ids[best], np.cumsum([0, *best])[trace.offsets]
