"""Estimators of the expected-gain rule: acceptance rates, the time it may lose, and when to try again.

Numbers alone; no clock and no model.
"""

from collections.abc import Hashable


class AcceptanceEstimator:
    """Estimates the share of drafts accepted, by kind of draft: a prior worth a few drafts, and fading counts."""

    def __init__(self, prior_weight: float = 4.0, memory: float = 0.97) -> None:
        self._weight = prior_weight
        self._memory = memory
        self._counts: dict[Hashable, tuple[float, float]] = {}

    def rate(self, kind: Hashable, prior: float) -> float:
        """Return the expected share for ``kind``, which is ``prior`` until a draft of that kind was judged."""
        accepted, judged = self._counts.get(kind, (0.0, 0.0))
        return (accepted + self._weight * prior) / (judged + self._weight)

    def record(self, kind: Hashable, accepted: bool) -> None:
        """Record one judged draft."""
        before, judged = self._counts.get(kind, (0.0, 0.0))
        self._counts[kind] = (before * self._memory + accepted, judged * self._memory + 1)


class LossBudget:
    """Limits the time that drafting may lose against plain decoding, counted in plain steps.

    The balance begins at ``steps``. Every committed token earns ``share`` of a step; rounds with drafts add what they
    gained or lost, up to ``most``. No round may risk more than the balance.
    """

    def __init__(self, share: float = 0.015, steps: float = 1.0, most: float = 8.0) -> None:
        self._share = share
        self._most = most
        self._balance = steps

    def covers(self, steps: float) -> bool:
        """Return whether a round may cost ``steps`` more than a plain one."""
        return steps <= self._balance

    def record(self, tokens: int, steps: float) -> None:
        """Record one round: ``tokens`` committed in the time of ``steps`` plain steps."""
        self._balance = min(self._balance + tokens - steps + self._share * tokens, self._most)


class Backoff:
    """Says when to ask the drafter although it is not expected to pay.

    That is after 4 tokens without an accepted draft, then after 8, 16 and 32 more, then every 32. The loss budget still
    decides whether the drafter can be asked then.
    """

    def __init__(self, first: int = 4, longest: int = 32) -> None:
        self._first = self._pause = first
        self._longest = longest
        self._waited = 0

    def may_draft(self, pays: bool) -> bool:
        """Return whether to ask the drafter now; ``pays`` says whether it is expected to pay."""
        return pays or self._waited >= self._pause

    def record(self, tokens: int, asked: bool, accepted_any: bool) -> None:
        """Record one round of ``tokens`` committed tokens; only asking in vain makes the pause longer."""
        if accepted_any:
            self._waited, self._pause = 0, self._first
            return
        if asked:
            self._waited, self._pause = 0, min(self._pause * 2, self._longest)
        self._waited += tokens
