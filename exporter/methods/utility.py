"""The utility U(K) = a·C(K) + (1 - a)·R(K) of a draft vocabulary, and its exact maximum. Source: arXiv 2603.05210.

C(K) is the share of counted tokens that the K most frequent tokens hold, R(K) how much of the drafter's cost a head of
K tokens saves. C is concave and R linear in K, so U has one hill: the token of rank K is worth its row exactly while
its share of the counted tokens reaches (1 - a)/a · (cost per token)/cost(V).
"""

from dataclasses import dataclass

import numpy as np

from edgedraft.exporter.methods.flops import LinearCost
from edgedraft.runtime.base.arrays import Float64Array, Int64Array
from edgedraft.runtime.base.records import require


@dataclass(frozen=True, kw_only=True, slots=True)
class UtilitySettings:
    """``coverage_weight`` is a; sizes outside ``min_size``..``max_size`` or below ``min_coverage`` are not chosen."""

    coverage_weight: float = 0.5
    min_coverage: float = 0.0
    min_size: int = 50
    max_size: int = 50000

    def __post_init__(self) -> None:
        for name in ("coverage_weight", "min_coverage"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"{name.replace('_', '-')}: expected 0..1", got=value)
        require(self.min_size >= 1, "min-vocab-size: expected 1 or more", got=self.min_size)
        rule = f"max-vocab-size: expected {self.min_size} (min-vocab-size) or more"
        require(self.max_size >= self.min_size, rule, got=self.max_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredSize:
    """One draft vocabulary size with the coverage C(K), the latency reduction R(K), and their utility U(K)."""

    size: int
    coverage: float
    latency_reduction: float
    utility: float


class Utility:
    """The utility of every size for one set of counts."""

    def __init__(self, counts: Int64Array, cost: LinearCost, settings: UtilitySettings) -> None:
        """Prepare ``counts``, int64 (vocab,) by token id, and the drafter's ``cost``.

        Raises `EdgedraftError` where no token was counted or the smallest size exceeds the vocabulary.
        """
        tokens = int(counts.sum())
        require(tokens > 0, "utility: expected at least one counted token", got=0)
        rule = f"min-vocab-size: expected at most the target's {len(counts):,} tokens"
        require(settings.min_size <= len(counts), rule, got=settings.min_size)
        # Coverage by rank, the most frequent token first: entry K - 1 is C(K).
        self._covered: Float64Array = np.cumsum(np.sort(counts)[::-1]) / tokens
        self._cost = cost
        self.settings = settings

    @property
    def vocab_size(self) -> int:
        """Number of tokens that the target knows, V."""
        return len(self._covered)

    def score(self, size: int) -> ScoredSize:
        """Score one size."""
        coverage, weight = float(self._covered[size - 1]), self.settings.coverage_weight
        reduction = self._cost.reduction(size, self.vocab_size)
        utility = weight * coverage + (1 - weight) * reduction
        return ScoredSize(size=size, coverage=coverage, latency_reduction=reduction, utility=utility)

    def allows(self, size: int) -> bool:
        """Tell whether a size covers enough."""
        return bool(self._covered[size - 1] >= self.settings.min_coverage)

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest size that may be chosen; raises `EdgedraftError` where there is none."""
        smallest = int(np.searchsorted(self._covered, self.settings.min_coverage)) + 1
        largest = min(self.settings.max_size, self.vocab_size)
        require(
            smallest <= largest,
            f"min-coverage: no draft vocabulary of at most {largest:,} tokens covers {self.settings.min_coverage:.2%}",
            got=f"{self._covered[largest - 1]:.2%}",
            remedy="lower min-coverage or raise max-vocab-size",
        )
        return max(smallest, self.settings.min_size), largest

    @property
    def worthwhile_share(self) -> float:
        """Share of the counted tokens from which a token is worth its row; infinite where only cost counts."""
        weight, row = self.settings.coverage_weight, self._cost.per_token / self._cost.of(self.vocab_size)
        return (1 - weight) / weight * row if weight > 0 else np.inf

    def scan(self) -> ScoredSize:
        """Return the best of all sizes; of equally good ones the largest. O(V)."""
        low, high = self.bounds
        sizes = np.arange(low, high + 1)
        weight = self.settings.coverage_weight
        saved = 1.0 - (self._cost.fixed + self._cost.per_token * sizes) / self._cost.of(self.vocab_size)
        utilities = weight * self._covered[low - 1 : high] + (1 - weight) * saved
        # Reversed, because argmax takes the first of equals and the largest is to be chosen.
        return self.score(high - int(np.argmax(utilities[::-1])))
