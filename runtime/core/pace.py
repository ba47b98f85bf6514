"""What an adaptive policy learns while it runs: seconds of a pass, chances of a draft, and what it may still lose.

Numbers alone; no clock and no model.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from statistics import median_low

from edgedraft.runtime.base.records import require

_REMEMBERED = 15
_ENOUGH = 3
_SHORTEST = 1e-9


class PassTimes:
    """Seconds of one model's pass by its rows: medians of what was measured of late, the plan's shape for the rest.

    Passes of one row and of several are kept apart: a plan that is wrong about rows says nothing about a plain step.
    """

    def __init__(self, planned_seconds: Sequence[float]) -> None:
        require(len(planned_seconds) >= 1, "pass times: expected the seconds of a one-row pass at least", got=0)
        self._planned = tuple(planned_seconds)
        self._seen: dict[int, deque[float]] = {}
        self._one_row: deque[float] = deque(maxlen=_REMEMBERED)
        self._more_rows: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def plain_passes(self) -> int:
        """How many one-row passes are remembered."""
        return len(self._one_row)

    @property
    def measured(self) -> bool:
        """Whether any pass was measured."""
        return bool(self._seen)

    def seconds(self, rows: int) -> float:
        """Expected seconds of a pass over ``rows`` tokens."""
        own = self._seen.get(rows, ())
        if len(own) >= _ENOUGH:
            return max(median_low(own), _SHORTEST)
        near, far = (self._one_row, self._more_rows) if rows == 1 else (self._more_rows, self._one_row)
        ratios = near or far
        return max(self._plan(rows) * (median_low(ratios) if ratios else 1.0), _SHORTEST)

    def learn(self, rows: int, seconds: float) -> None:
        """Take in one measured pass."""
        self._seen.setdefault(rows, deque(maxlen=_REMEMBERED)).append(seconds)
        (self._one_row if rows == 1 else self._more_rows).append(seconds / self._plan(rows))

    def _plan(self, rows: int) -> float:
        """The plan's seconds; more rows than it knows follow its last step."""
        known = self._planned
        if rows <= len(known):
            return known[rows - 1]
        step = known[-1] - known[-2] if len(known) > 1 else known[0]
        return known[-1] + (rows - len(known)) * step


class Chances:
    """Share of drafts accepted, by kind of draft: a prior worth a few drafts, fading counts on top."""

    def __init__(self, prior_weight: float = 4.0, memory: float = 0.97) -> None:
        self._weight = prior_weight
        self._memory = memory
        self._counts: dict[Hashable, tuple[float, float]] = {}

    def of(self, kind: Hashable, prior: float) -> float:
        """The expected share for ``kind``, which is ``prior`` until drafts of that kind were judged."""
        accepted, judged = self._counts.get(kind, (0.0, 0.0))
        return (accepted + self._weight * prior) / (judged + self._weight)

    def learn(self, kind: Hashable, accepted: bool) -> None:
        """Take in one judged draft."""
        before, judged = self._counts.get(kind, (0.0, 0.0))
        self._counts[kind] = (before * self._memory + accepted, judged * self._memory + 1)


class Allowance:
    """How much time drafting may still lose against plain decoding, counted in plain steps.

    Every settled token earns ``share`` of a step; rounds with drafts add what they gained or lost, up to ``most``. No
    round may risk more than there is.
    """

    def __init__(self, share: float = 0.015, steps: float = 1.0, most: float = 8.0) -> None:
        self._share = share
        self._most = most
        self._balance = steps

    def covers(self, steps: float) -> bool:
        """Whether a round may cost ``steps`` more than a plain one."""
        return steps <= self._balance

    def learn(self, tokens: int, steps: float) -> None:
        """Take in one round: ``tokens`` settled in the time of ``steps`` plain steps."""
        self._balance = min(self._balance + tokens - steps + self._share * tokens, self._most)


class Pauses:
    """When to ask the drafter although it is not expected to pay: after 4 tokens without a kept draft, then 8, 16, 32.

    Then every 32: what the drafter must read to catch up is covered by the allowance, or it is not asked.
    """

    def __init__(self, first: int = 4, longest: int = 32) -> None:
        self._first = self._pause = first
        self._longest = longest
        self._waited = 0

    def may_draft(self, pays: bool) -> bool:
        """Whether to ask the drafter now; ``pays`` says what is expected of it."""
        return pays or self._waited >= self._pause

    def learn(self, tokens: int, asked: bool, kept_any: bool) -> None:
        """Take in one round of ``tokens`` settled tokens; only asking in vain makes the pause longer."""
        if kept_any:
            self._waited, self._pause = 0, self._first
            return
        if asked:
            self._waited, self._pause = 0, min(self._pause * 2, self._longest)
        self._waited += tokens
