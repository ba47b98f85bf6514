"""The law of token rates: fitted to part of the data, they tell what lists ranked on more of it will cover."""

import numpy as np
import pytest

from edgedraft.calibration.data.samples import GROUPS
from edgedraft.calibration.sample_size.token_rates import token_rates

VOCAB = 8192


def domain(seed: int, exponent: float, active: int) -> np.ndarray:
    """Shares of ``active`` tokens by Zipf's law, at random ids, (VOCAB,)."""
    shares = np.zeros(VOCAB)
    weights = np.arange(1, active + 1) ** -exponent
    shares[np.random.default_rng(seed).permutation(VOCAB)[:active]] = weights / weights.sum()
    return shares


def covered(shares: np.ndarray, tokens: float, size: int, seeds=range(4)) -> float:
    """The truth: what lists of ``size`` tokens ranked on ``tokens`` fresh tokens cover, on average."""
    draws = [np.random.default_rng([7, seed]).poisson(shares * tokens) for seed in seeds]
    return float(np.mean([shares[np.argsort(-drawn, kind="stable")[:size]].sum() for drawn in draws]))


def rows_of(shares: np.ndarray, tokens: float, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).poisson(shares * tokens / GROUPS, (GROUPS, VOCAB))


@pytest.mark.parametrize(("exponent", "active", "size"), [(1.0, 6000, 2048), (1.2, 4000, 1024), (0.8, 8000, 4096)])
@pytest.mark.parametrize("tokens", [5_000, 25_000, 100_000])
@pytest.mark.parametrize("factor", [0.5, 1, 4, 16])
def test_rates_tell_the_coverage_of_lists_ranked_on_less_and_more(make_counts, exponent, active, size, tokens, factor):
    shares = domain(1, exponent, active)
    rates = token_rates(make_counts(rows_of(shares, tokens)), ())
    assert rates.coverage(size, factor) == pytest.approx(covered(shares, tokens * factor, size), abs=0.02)


def test_bursts_are_told_from_independent_arrivals(make_counts):
    shares = domain(2, 1.0, 6000)
    arrivals = rows_of(shares, 10_000)
    bursts = arrivals + np.random.default_rng(4).poisson(2 * arrivals)
    alone, in_bursts = (token_rates(make_counts(rows), ()).coverage(2048, 8) for rows in (arrivals, bursts))
    assert in_bursts == pytest.approx(alone, abs=0.03)
    assert in_bursts == pytest.approx(covered(shares, 80_000, 2048), abs=0.03)
    scattered = np.random.default_rng(5).poisson(3 * rows_of(shares, 10_000).mean(axis=0), (GROUPS, VOCAB))
    assert token_rates(make_counts(scattered), ()).coverage(2048, 1) > token_rates(make_counts(bursts), ()).coverage(
        2048, 1
    )


def test_leading_ids_are_covered_first_and_take_their_places(make_counts):
    shares = domain(3, 1.0, 6000)
    counts = make_counts(rows_of(shares, 20_000))
    best, never = int(np.argmax(shares)), np.flatnonzero(shares == 0)[:500]
    alone = token_rates(counts, (best,)).coverage(1, 1)
    assert alone == pytest.approx(shares[best], rel=0.05)
    assert token_rates(counts, never.tolist()).coverage(500, 1) == 0
    crowded, free = token_rates(counts, never.tolist()).coverage(1500, 1), token_rates(counts, ()).coverage(1000, 1)
    assert crowded == pytest.approx(free, abs=1e-3)


@pytest.mark.parametrize("tokens", [100, 10_000, 1_000_000])
def test_coverage_grows_with_the_list_and_ends_at_everything(make_counts, tokens):
    rates = token_rates(make_counts(rows_of(domain(5, 1.0, 6000), tokens)), (7,))
    for factor in (0.5, 1, 64):
        shares = [rates.coverage(size, factor) for size in (1, 2, 10, 100, 1000, 4000, VOCAB)]
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(1)
        assert shares[0] >= 0


def test_only_the_sum_over_shards_counts(make_counts):
    rows = rows_of(domain(6, 1.0, 6000), 5000)
    parts = [make_counts(rows * (np.arange(GROUPS)[:, None] % 4 == part)) for part in range(4)]
    merged = (parts[3] + parts[0]) + (parts[2] + parts[1])
    assert token_rates(merged, ()).coverage(1000, 8) == token_rates(make_counts(rows), ()).coverage(1000, 8)
