"""The records of a trace: for every position of the target's answers, the few tokens that decide what a draft does."""

from dataclasses import dataclass

import numpy as np

from edgedraft.runtime.base.arrays import Float32Array, Ids, Int32Array
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.sampling import SamplingSettings

POSITIONS_FOR_ONE_CUT = 1000
"""One position in so many may want more ids than the cap lets it keep."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TracedRows:
    """Rows of ids, one a position and end to end, over several answers end to end.

    ``target_ids``: int64 (positions,), the target's token; ``wanted``: int64 (positions,), how many ids decide the
    position, at least 1, of which the row has at most ``cap``; ``ids``: int32 (entries,), the drafter's best first,
    equal logits by smaller id, the drafter's very best always among them; ``log_probs_by_drafter``: float32
    (entries,), of the full-vocabulary drafter, before temperature and filters; ``offsets``: int64 (answers + 1,),
    where each answer begins. An answer's first token is left out: the target's pass over the prompt yields it and
    nothing is drafted for it.
    """

    target_ids: Ids
    wanted: Ids
    ids: Int32Array
    log_probs_by_drafter: Float32Array
    offsets: Ids
    cap: int

    def __post_init__(self) -> None:
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
        """Share of positions whose row is not whole: they want more than ``cap`` ids."""
        return float((self.wanted > self.cap).mean()) if len(self.wanted) else 0.0


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


def least_cap(wanted: Ids, most: int) -> int:
    """Return the least cap, up to ``most``, that cuts fewer than one in `POSITIONS_FOR_ONE_CUT` of ``wanted`` rows."""
    if len(wanted) == 0:
        return 1
    may_be_cut = (len(wanted) - 1) // POSITIONS_FOR_ONE_CUT
    return int(min(np.sort(wanted)[len(wanted) - 1 - may_be_cut], most))


def answer_offsets(lengths: list[int]) -> Ids:
    """Return the place where each answer begins, and the end: answers of ``lengths`` tokens without their first."""
    return np.cumsum([0, *(length - 1 for length in lengths)]).astype(np.int64)


def accepted_tokens(trace: TracedRows) -> tuple[Ids, Ids]:
    """Return the target's tokens that the full-vocabulary drafter likes best, and where each answer's begin.

    int64 (accepted,) and (answers + 1,). Greedily these are the drafts that the target kept. Of drawn answers they are
    the tokens most likely drafted and kept; the expected number would be a fraction of a token, and counts are whole.
    """
    best = trace.ids[trace.row_starts] == trace.target_ids
    return trace.target_ids[best], np.cumsum([0, *best])[trace.offsets]
