"""The law of uncertainty: what is known has no interval, what is not widens it, and what both share does not count."""

import numpy as np
import pytest

from edgedraft.exporter.planning.scoring import PlanLimits, score_options
from edgedraft.exporter.planning.uncertainty import estimate_uncertainty

ALIKE = [[64, 64, 64, 0]] * 40
UNLIKE = [[64, 64, 64, 0]] * 20 + [[0, 0, 0, 0]] * 20


@pytest.fixture
def judge(make_candidate, replayed_answers, linear):
    """Uncertainty of the best of one candidate at draft length 3, size 64, against one at length 1."""

    def make(answers, target=None, drafter=None):
        candidate = make_candidate(target=target or linear(20, 0.2), drafter=drafter or linear(2, 0.2))
        scored = score_options([candidate], replayed_answers(answers), PlanLimits())
        best, second = (scored.option(0, 0, length) for length in (2, 0))
        found = estimate_uncertainty(scored, best, second, candidate.latency, np.random.default_rng(0))
        return found, best, candidate

    return make


def test_without_doubt_the_interval_is_the_value(judge):
    sure, option, candidate = judge(ALIKE)
    found = sure.tokens_per_second
    assert (found.low, found.high) == pytest.approx((found.value, found.value))
    assert found.value == pytest.approx(option.tokens_per_second)
    assert sure.plain_tokens_per_second.value == pytest.approx(1 / candidate.latency.target_seconds(1))
    assert sure.speed_up.value == pytest.approx(found.value / sure.plain_tokens_per_second.value)
    assert sure.chance_to_pay == 1.0


def test_answers_that_differ_widen_the_interval(judge):
    found = judge(UNLIKE)[0].speed_up
    assert found.low < 0.97 * found.value < 1.03 * found.value < found.high


def test_what_all_passes_share_widens_the_speeds_but_not_their_ratio(judge, linear):
    sure = judge(ALIKE, linear(20, 0.2, device_sigma=0.3), linear(2, 0.2, device_sigma=0.3))[0]
    for speed in (sure.tokens_per_second, sure.plain_tokens_per_second):
        assert speed.high / speed.low == pytest.approx(np.exp(2 * 1.2816 * 0.3), rel=0.15)
    assert sure.speed_up.high / sure.speed_up.low == pytest.approx(1.0)


def test_doubt_about_verification_makes_the_verdict_doubtful(judge, linear):
    near = linear(20, 0.55)  # about break-even: three drafts cost what they win
    sure = judge(ALIKE, linear(20, 0.55, growth_sigma=0.5))[0]
    assert judge(ALIKE, near)[0].chance_to_pay in (0.0, 1.0)
    assert 0.05 < sure.chance_to_pay < 0.95
    assert sure.speed_up.low < 1 < sure.speed_up.high


def test_the_chance_to_lead_follows_the_better_option(judge, linear):
    assert judge(ALIKE, linear(20, 0.0))[0].chance_to_lead == 1.0
    assert judge(ALIKE, linear(20, 2.0))[0].chance_to_lead == 0.0


def test_the_same_random_numbers_give_the_same_interval(judge):
    assert judge(UNLIKE)[0] == judge(UNLIKE)[0]


def test_without_a_runner_up_nothing_leads(make_candidate, replayed_answers, linear):
    candidate = make_candidate(target=linear(20, 0.2), drafter=linear(2, 0.2))
    scored = score_options([candidate], replayed_answers(ALIKE), PlanLimits())
    found = estimate_uncertainty(scored, scored.option(0, 0, 0), None, candidate.latency, np.random.default_rng(0))
    assert found.chance_to_lead is None


def test_empty_answers_do_not_matter(judge):
    sure, option, _ = judge([*ALIKE, [], []])
    assert sure.tokens_per_second.value == pytest.approx(option.tokens_per_second)
    assert sure.chance_to_pay == 1.0
