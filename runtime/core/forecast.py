"""Forecasts that travel in a bundle: the rounds that held-out answers take, from which any device predicts its speed.

Seconds of the answers = rounds · (first + (γ − 1) · next + target(γ + 1 rows)) + what the first passes read more.
Only sums over all held-out answers are kept, from which no answer can be read.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from edgedraft.runtime.base.records import require

_MOST_WAYS, _LONGEST_DRAFT, _MOST_TOKENS = 64, 4096, 2**53


@dataclass(frozen=True, kw_only=True, slots=True)
class DraftCosts:
    """Seconds of a drafter's passes: a round's first, each further one, and of what the first has more to read.

    ``after_full``: after a round whose drafts were all accepted. ``per_accepted``: for each draft accepted before.
    """

    first: float
    next: float
    after_full: float = 0.0
    per_accepted: float = 0.0

    def of_round(self, draft_length: int) -> float:
        """Return the seconds of ``draft_length`` drafts after a round without accepted drafts."""
        return self.first + (draft_length - 1) * self.next


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthForecast:
    """Rounds of the held-out answers with ``draft_length`` drafts each by the bundle's drafter.

    ``full_rounds`` accept all drafts. ``evaluated`` drafts are those that the target examined. Drawn answers have
    expected values, which need not be whole.
    """

    draft_length: int
    rounds: float
    full_rounds: float
    accepted: float
    evaluated: float

    def __post_init__(self) -> None:
        _require_length(self.draft_length)
        sound = 0 < self.rounds < _MOST_TOKENS and 0 <= self.full_rounds <= self.rounds
        require(sound, "forecast: expected rounds above 0, full ones among them", got=(self.rounds, self.full_rounds))
        sound = 0 <= self.accepted <= self.evaluated < _MOST_TOKENS
        require(sound, "forecast: expected accepted among evaluated drafts", got=(self.accepted, self.evaluated))

    def seconds(self, costs: DraftCosts, target_seconds: Callable[[int], float]) -> float:
        """Return the seconds of all rounds; ``target_seconds`` gives those of a pass by its rows."""
        per_round = costs.of_round(self.draft_length) + target_seconds(self.draft_length + 1)
        return self.rounds * per_round + self.full_rounds * costs.after_full + self.accepted * costs.per_accepted


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupForecast:
    """Rounds of the held-out answers with drafts that are looked up in the text, up to ``draft_length`` of them.

    ``rounds[i]`` counts those in which i tokens were found.
    """

    draft_length: int
    rounds: tuple[int, ...]
    accepted: int
    evaluated: int

    def __post_init__(self) -> None:
        _require_length(self.draft_length)
        rounds = self.rounds
        fits = 1 <= len(rounds) <= self.draft_length + 1 and all(0 <= each < _MOST_TOKENS for each in rounds)
        rule = f"forecast: expected 1..{self.draft_length + 1} counts of rounds, with one above 0"
        require(fits and sum(rounds) > 0, rule, got=len(rounds))
        sound = 0 <= self.accepted <= self.evaluated < _MOST_TOKENS
        require(sound, "forecast: expected accepted among evaluated drafts", got=(self.accepted, self.evaluated))

    def seconds(self, target_seconds: Callable[[int], float]) -> float:
        """Return the seconds of all rounds; a look-up takes none."""
        return sum(count * target_seconds(drafted + 1) for drafted, count in enumerate(self.rounds))


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptanceForecast:
    """The results of held-out answers of ``tokens`` tokens for ways of drafting with the bundle's draft vocabulary."""

    tokens: int
    lengths: tuple[LengthForecast, ...]
    lookups: tuple[LookupForecast, ...] = ()

    def __post_init__(self) -> None:
        require(0 < self.tokens < _MOST_TOKENS, "forecast: expected 1 token or more", got=self.tokens)
        ways = len(self.lengths) + len(self.lookups)
        require(len(self.lengths) >= 1 and ways <= _MOST_WAYS, f"forecast: expected 1..{_MOST_WAYS} ways", got=ways)


def _require_length(length: int) -> None:
    require(1 <= length <= _LONGEST_DRAFT, f"forecast: draft_length must lie in 1..{_LONGEST_DRAFT}", got=length)


def share(part: float, whole: float) -> float:
    """Return ``part`` over ``whole`` within 0..1; 0 where there is nothing."""
    return min(max(part / whole, 0.0), 1.0) if whole > 0 and math.isfinite(part) else 0.0
