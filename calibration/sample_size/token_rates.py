"""Fit how often the tokens of a domain come, to predict what a list ranked on more prompts would cover.

A token's arrivals in the prompts are taken as Poisson. How many tokens there are of each rate is fitted to how many
were seen once, twice, …; Source: Efron and Thisted 1976 (the unseen species), as a mixture fitted by expectation and
maximization (Laird 1978).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.calibration.counts import TokenCounts
from edgedraft.runtime.base.arrays import Float64Array, Int64Array

_CERTAIN = 100
"""Tokens with more arrivals are ranked by their count: their place in a list no longer depends on luck."""

_MOST_ARRIVALS = 400
_RAREST = 1 / 32
"""The lowest rate fitted: tokens rarer than that would hardly come in the largest data that is extrapolated to."""

_RATES, _ROUNDS = 64, 100
_FEW_GROUPS = 3
_LEAST_EXPECTED = 1e-100


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenRates:
    """``tokens``: float64 (rates,), how many tokens come ``rates``: float64 (rates,) times in the prompts at hand.

    ``certain``: arrivals of the frequent tokens, most first; ``led``: arrivals of the tokens that lead every list.
    """

    rates: Float64Array
    tokens: Float64Array
    certain: Float64Array
    led: Float64Array
    vocab_size: int

    def coverage(self, size: int, factor: float) -> float:
        """Return the expected share that ``size`` tokens cover when ranked on ``factor`` times the prompts at hand."""
        if size >= self.vocab_size:
            return 1.0  # the fit does not know how many tokens there can be
        drawn = float(self.tokens @ self.rates)
        places = max(0, size - len(self.led))
        covered = self.led.sum() + self.certain[:places].sum()
        if places > len(self.certain):
            covered += self._drawn(places - len(self.certain), factor, drawn)
        return float(covered / (self.led.sum() + self.certain.sum() + drawn))

    def _drawn(self, places: int, factor: float, drawn: float) -> float:
        """Of ``drawn`` arrivals, those of tokens that fill ``places``: by their counts, by chance where never seen."""
        chances = _poisson(self.rates * factor, _MOST_ARRIVALS)
        chances[:, -1] += np.maximum(0, 1 - chances.sum(axis=1))
        at_least = np.cumsum((self.tokens @ chances)[::-1])
        arrivals = np.cumsum(((self.tokens * self.rates) @ chances)[::-1])
        seen, seen_arrivals = float(at_least[-2]), float(arrivals[-2])
        if places < seen:
            return float(np.interp(places, np.append(0, at_least[:-1]), np.append(0, arrivals[:-1])))
        unseen = max(self.vocab_size - len(self.led) - len(self.certain) - seen, 1)
        return seen_arrivals + (drawn - seen_arrivals) * min(1, (places - seen) / unseen)


def token_rates(counts: TokenCounts, first_ids: Sequence[int]) -> TokenRates:
    """Fit the rates to the counts of all groups."""
    arrivals = _arrivals(counts)
    led = np.unique(np.asarray(first_ids, dtype=np.int64))
    others = np.delete(arrivals, led)
    certain = np.sort(others[others > _CERTAIN])[::-1]
    seen_times = np.bincount(others[others <= _CERTAIN], minlength=_CERTAIN + 1).astype(np.float64)
    rates = np.geomspace(_RAREST, 1.5 * _CERTAIN, _RATES)
    return TokenRates(
        rates=rates,
        tokens=_mixture(seen_times, rates),
        certain=certain.astype(np.float64),
        led=arrivals[led].astype(np.float64),
        vocab_size=counts.vocab_size,
    )


def _arrivals(counts: TokenCounts) -> Int64Array:
    """Return how often each token came on its own, int64 (vocab,): the tokens of one burst count as one arrival.

    The length of a burst is measured on tokens of few groups, where two bursts seldom share a group.
    """
    times, groups = counts.counts, (counts.by_group > 0).sum(axis=0)
    few = (groups >= 1) & (groups <= _FEW_GROUPS)
    burst = times[few].sum() / groups[few].sum() if few.any() else 1.0
    arrivals: Int64Array = np.maximum(groups, np.rint(times / burst).astype(np.int64))
    return arrivals


def _mixture(seen_times: Float64Array, rates: Float64Array) -> Float64Array:
    """Fit how many tokens come at each of ``rates`` to how many were seen 0.. times (that of 0 is unknown).

    Begins with Zipf's law, as many arrivals at every rate; the rounds then follow the data as far as it speaks.
    """
    chances = _poisson(rates, len(seen_times) - 1)
    seen = 1 - chances[:, 0]
    tokens: Float64Array = 1 / rates
    for _ in range(_ROUNDS):
        expected = np.maximum(tokens @ chances, _LEAST_EXPECTED)
        tokens = tokens * (chances[:, 1:] @ (seen_times / expected)[1:]) / seen
    return tokens


def _poisson(rates: Float64Array, most: int) -> Float64Array:
    """Chance of 0..most arrivals at each rate, (rates, most + 1)."""
    times = np.arange(most + 1)
    log_factorials = np.cumsum(np.log(np.maximum(times, 1)))
    chances: Float64Array = np.exp(times * np.log(rates)[:, None] - rates[:, None] - log_factorials)
    return chances
