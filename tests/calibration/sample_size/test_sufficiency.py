"""The law of sufficiency: on domains whose truth is known, "enough" and "about N more" agree with fresh data.

Negative controls: tiny data is never called enough, and a domain whose prompts share nothing never is.
"""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.data.samples import GROUPS
from edgedraft.calibration.sample_size.learning_curve import learning_curve
from edgedraft.calibration.sample_size.sufficiency import ENOUGH_GAIN, expected_gains, judge_sufficiency, unseen_mass
from edgedraft.calibration.sample_size.token_rates import token_rates
from edgedraft.runtime.base.errors import EdgedraftError

VOCAB, LENGTH = 4096, 60
END = 17

DOMAINS = {
    "wide": {"exponent": 1.0, "active": 3500, "size": 1024},
    "narrow": {"exponent": 1.2, "active": 3000, "size": 512},
    "flat": {"exponent": 0.8, "active": 4000, "size": 2048},
    "in bursts": {"exponent": 1.0, "active": 3000, "size": 512, "burst": 1.5},
}


class Domain:
    """Zipf's law over ``active`` tokens at random ids; a token that comes, comes ``burst`` times on average."""

    def __init__(self, exponent: float, active: int, size: int, burst: float = 1.0) -> None:
        self.size, self.burst = size, burst
        self.shares = np.zeros(VOCAB)
        weights = np.arange(1, active + 1) ** -exponent
        self.shares[np.random.default_rng(1).permutation(VOCAB)[:active]] = weights / weights.sum()

    def rows(self, prompts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Counts of each group and its prompts, for so many prompts of about `LENGTH` tokens."""
        rng = np.random.default_rng([seed, prompts])
        by_group = rng.multinomial(prompts, np.full(GROUPS, 1 / GROUPS))
        return self.drawn(rng, by_group[:, None]), by_group

    def drawn(self, rng: np.random.Generator, prompts: np.ndarray | int) -> np.ndarray:
        arrivals = rng.poisson(prompts * self.shares * LENGTH / self.burst)
        return arrivals + rng.poisson(arrivals * (self.burst - 1)) if self.burst > 1 else arrivals

    def covered(self, prompts: int) -> float:
        """The truth: what lists ranked on so many fresh prompts cover, on average over twelve lists."""
        seen = [self.drawn(np.random.default_rng([100, seed]), prompts) for seed in range(12)]
        return float(np.mean([self.shares[np.argsort(-each, kind="stable")[: self.size]].sum() for each in seen]))

    def gain(self, prompts: int) -> float:
        return self.covered(2 * prompts) - self.covered(prompts)

    @functools.cached_property
    def needed(self) -> float:
        """From how many prompts on doubling adds less than `ENOUGH_GAIN`, between powers of 2 by the logarithm."""
        prompts, before = 32, self.gain(32)
        while (after := self.gain(2 * prompts)) >= ENOUGH_GAIN:
            prompts, before = 2 * prompts, after
        return float(prompts * 2 ** (np.log(before / ENOUGH_GAIN) / np.log(before / after)))


@pytest.fixture(scope="module", params=DOMAINS)
def domain(request):
    return Domain(**DOMAINS[request.param])


@pytest.fixture(scope="module")
def judge(make_counts):
    """``judge(domain, prompts)``: the verdict on freshly drawn prompts."""

    def judged(domain: Domain, prompts: int, seed: int = 0):
        rows, by_group = domain.rows(prompts, seed)
        counts = make_counts(rows, by_group)
        return judge_sufficiency(counts, domain.size, (END,), np.random.default_rng(5))

    return judged


# --- the law ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [12, 6, 3])
def test_about_so_many_more_is_within_a_factor_of_two_of_the_truth(domain, judge, part):
    got = judge(domain, int(domain.needed / part))
    assert not got.enough
    assert domain.needed / 2 <= got.prompts + got.more_prompts <= 2 * domain.needed
    assert got.sentence.startswith(f"not enough: {got.prompts} prompts cover ")
    assert got.sentence.endswith(f"; about {got.more_prompts:,} more prompts would bring that below 0.5")


def test_enough_prompts_are_enough_and_a_tenth_of_them_are_not(domain, judge):
    plenty = int(4 * domain.needed)
    got = judge(domain, plenty)
    assert got.enough
    assert got.more_prompts == 0
    assert got.sentence.startswith(f"enough: {plenty:,} prompts cover {got.coverage.value:.1%} [")
    assert got.sentence.endswith(f"twice as many would add about {100 * got.gain.value:.1f} points")
    assert domain.gain(plenty) < ENOUGH_GAIN
    assert not judge(domain, plenty // 40).enough


def test_the_gain_of_twice_as_many_prompts_is_foreseen(domain, judge):
    for prompts in (256, 2048):
        got = judge(domain, prompts).gain
        assert got.low <= got.value <= got.high
        assert got.value == pytest.approx(domain.gain(prompts), abs=0.005)


def test_coverage_is_what_the_list_covers_of_fresh_text(domain, judge):
    got = judge(domain, 512).coverage
    assert got.value == pytest.approx(domain.covered(512), abs=0.01)


def test_the_gain_shrinks_as_prompts_grow(judge):
    domain = Domain(**DOMAINS["wide"])
    totals = [judge(domain, prompts).gain.value for prompts in (64, 256, 1024, 4096)]
    assert totals == sorted(totals, reverse=True)


# --- negative controls -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_tiny_data_is_never_enough(domain, judge, seed):
    got = judge(domain, 24, seed)
    assert not got.enough
    assert got.more_prompts is None or got.more_prompts > 24
    assert "24 prompts cover" in got.sentence


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [
        (0, "not enough: 0 prompts are too few to tell by, give at least 16"),
        (1, "not enough: 1 prompt is too few to tell by, give at least 16"),
        (15, "not enough: 15 prompts are too few to tell by, give at least 16"),
    ],
)
def test_too_few_prompts_cannot_tell(judge, prompts, sentence):
    got = judge(Domain(**DOMAINS["wide"]), prompts)
    assert (got.enough, got.more_prompts, got.coverage, got.gain) == (False, None, None, None)
    assert got.sentence == sentence


def test_many_prompts_in_few_groups_cannot_tell(make_counts):
    row = np.ones(50, np.int64)
    got = judge_sufficiency(make_counts([row] * 3, [20, 20, 20] + [0] * 29), 10, (), np.random.default_rng(0))
    assert got.sentence == "not enough: 60 prompts are too few to tell by, give at least 120"


def test_prompts_that_share_no_token_are_never_enough(make_counts):
    counts = make_counts(np.eye(GROUPS, 5000, 4000, dtype=np.int64) * 40, np.full(GROUPS, 30))
    got = judge_sufficiency(counts, 2000, (), np.random.default_rng(0))
    assert not got.enough
    assert got.sentence.startswith("cannot tell: 960 prompts cover 0.0% ")


def test_prompts_that_all_say_the_same_are_enough(make_counts):
    counts = make_counts(np.tile([9, 8, 7] + [0] * 997, (GROUPS, 1)), np.full(GROUPS, 1))
    got = judge_sufficiency(counts, 64, (0,), np.random.default_rng(0))
    assert got.enough
    assert got.coverage.value == 1
    assert got.gain.value == pytest.approx(0, abs=1e-3)


def test_rates_that_miss_the_measured_coverage_tell_nothing_further(make_counts):
    domain = Domain(**DOMAINS["wide"])
    counts = make_counts(*domain.rows(256, seed=0))
    curve = learning_curve(counts, domain.size, (END,), np.random.default_rng(0))
    assert len(expected_gains(curve, token_rates(counts, (END,)))) == 7
    foreign = token_rates(make_counts(*Domain(**DOMAINS["narrow"]).rows(256, seed=0)), (END,))
    assert expected_gains(curve, foreign) == ()


# --- shards ----------------------------------------------------------------------------------------------------------


@given(order=st.permutations(range(4)))
@settings(max_examples=6, deadline=None)
def test_shards_may_be_merged_in_any_order(make_counts, order):
    domain = Domain(**DOMAINS["narrow"])
    shards = [make_counts(*domain.rows(20, seed)) for seed in range(4)]
    a, b, c, d = (shards[place] for place in order)
    whole, shuffled = shards[0] + shards[1] + shards[2] + shards[3], (a + b) + (c + d)
    verdicts = [
        judge_sufficiency(counts, domain.size, (END,), np.random.default_rng(1)) for counts in (whole, shuffled)
    ]
    assert verdicts[0] == verdicts[1]
    assert unseen_mass(whole) == unseen_mass(shuffled)


# --- unseen mass -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompts", [24, 200])
def test_the_interval_holds_the_true_unseen_mass_nearly_always(make_counts, prompts):
    domain = Domain(**DOMAINS["wide"])
    held = 0
    for seed in range(40):
        rows, by_group = domain.rows(prompts, seed)
        got = unseen_mass(make_counts(rows, by_group))
        truth = domain.shares[rows.sum(axis=0) == 0].sum()
        held += got.low <= truth <= got.high
        assert got.high - got.low < 0.2
    assert held >= 34


def test_tokens_seen_once_over_all_tokens(make_counts):
    assert unseen_mass(make_counts([[1, 2, 0, 1], [0, 0, 0, 4]])).value == 1 / 8
    alone = unseen_mass(make_counts([1, 1, 2]))
    assert (alone.value, alone.low, alone.high) == (0.5, 0, 1)
    with pytest.raises(EdgedraftError, match=r"^unseen mass: expected at least one token - give prompts"):
        unseen_mass(make_counts([0, 0]))
