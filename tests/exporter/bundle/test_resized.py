"""The law of a resized plan: what planning foresaw at that size, and nothing else changes."""

import dataclasses

import pytest

from edgedraft.exporter.bundle.resized import resized_calibration, resized_plan
from edgedraft.exporter.bundle.token_order import SizeForecast


@pytest.fixture
def foreseen():
    def make(**changes) -> SizeForecast:
        shares = {"coverage": 0.625, "coverage_low": 0.5, "coverage_high": 0.75}
        facts = {"tokens_per_second": 18.0, "block_efficiency": 2.25, "acceptance_rate": 0.6}
        return SizeForecast(**{**shares, **facts, "drafter_pass_seconds": (0.008, 0.009), **changes})

    return make


def test_the_plan_takes_over_what_was_foreseen(make_plan, foreseen):
    plan = make_plan()  # 20 tokens/s against 15 alone, 1.1 to 1.5 times
    resized = resized_plan(plan, 1024, foreseen())
    assert resized == dataclasses.replace(
        plan,
        draft_vocab_size=1024,
        predicted_tokens_per_second=18.0,
        predicted_block_efficiency=2.25,
        predicted_acceptance_rate=0.6,
        drafter_pass_seconds=(0.008, 0.009),
        speculate=True,
        speed_up_low=resized.speed_up_low,
        speed_up_high=resized.speed_up_high,
        chance_to_pay=resized.chance_to_pay,
        reason=resized.reason,
    )
    assert (resized.speed_up_low, resized.speed_up_high) == pytest.approx((0.99, 1.35))
    assert resized.reason == (
        "speculate, trimmed to 1,024 draft tokens after planning: a round of 3 drafts takes 24 ms of drafting and "
        "yields 2.25 tokens, 18.0 tokens/s; the target alone makes 15.0 tokens/s; speed-up 1.20 [0.99–1.35], "
        f"{resized.chance_to_pay:.0%} likely to pay"
    )


def test_the_chance_to_pay_moves_with_the_speed_up(make_plan, foreseen):
    """At an unchanged speed nothing moves; slower is less likely to pay, faster more."""
    plan = make_plan(chance_to_pay=0.75)
    chances = [
        resized_plan(plan, 1024, foreseen(tokens_per_second=speed)).chance_to_pay for speed in (14.0, 18.0, 20.0, 22.0)
    ]
    assert chances == sorted(chances)
    assert chances[2] == pytest.approx(0.75)
    assert chances[0] < 0.1 < 0.9 < resized_plan(plan, 1024, foreseen(tokens_per_second=26.0)).chance_to_pay


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_a_chance_that_was_certain_stays_a_chance(make_plan, foreseen, chance):
    resized = resized_plan(make_plan(chance_to_pay=chance), 1024, foreseen(tokens_per_second=20.0))
    assert resized.chance_to_pay == pytest.approx(chance, abs=2e-3)


@pytest.mark.parametrize(("speed", "expected"), [(14.0, 0.0), (16.0, 1.0)])
def test_an_interval_without_width_leaves_no_doubt(make_plan, foreseen, speed, expected):
    plan = make_plan(speed_up_low=1.3, speed_up_high=1.3)
    assert resized_plan(plan, 1024, foreseen(tokens_per_second=speed)).chance_to_pay == expected


def test_a_size_at_which_drafting_does_not_pay_says_so(make_plan, foreseen):
    resized = resized_plan(make_plan(), 64, foreseen(tokens_per_second=15.2))
    assert not resized.speculate
    assert resized.reason.startswith("do not speculate, trimmed to 64 draft tokens after planning: ")


def test_the_calibration_takes_over_the_coverage(make_calibration, foreseen):
    entry = make_calibration()
    assert resized_calibration(entry, foreseen()) == dataclasses.replace(
        entry, coverage=0.625, coverage_low=0.5, coverage_high=0.75
    )
