"""Choosing: predicted speeds are the forecast's rounds times the seconds of their passes; the fastest way is taken."""

import pytest

from edgedraft.devices.tuning.choosing import FIXED, NGRAM, PLAIN, choose, predicted_ways
from edgedraft.devices.tuning.passes import MeasuredPasses, TimedRound
from edgedraft.runtime.core.forecast import AcceptanceForecast, DraftCosts, LengthForecast, LookupForecast

FORECAST = AcceptanceForecast(
    tokens=100,
    lengths=(
        LengthForecast(draft_length=1, rounds=60, full_rounds=40, accepted=40, evaluated=60),
        LengthForecast(draft_length=2, rounds=45, full_rounds=20, accepted=55, evaluated=80),
    ),
    lookups=(LookupForecast(draft_length=2, rounds=(85, 5, 3), accepted=7, evaluated=9),),
)


def turns(plain: float, row: float, step: float, number: int = 3):
    one = [
        TimedRound(
            drafted=drafted,
            accepted_before=0,
            after_full=False,
            after_plain=False,
            drafter_seconds=step * drafted,
            target_seconds=plain + row * drafted,
        )
        for drafted in (0, 1, 2)
    ]
    return [one] * number


def test_speeds_are_tokens_over_the_seconds_of_all_rounds():
    passes = MeasuredPasses(target=(1.0, 1.1, 1.3), drafter=DraftCosts(first=0.2, next=0.1, after_full=0.05))
    plain, one, two, lookup = predicted_ways(FORECAST, passes)
    assert (plain.policy, plain.tokens_per_second) == (PLAIN, 1.0)
    assert one.tokens_per_second == pytest.approx(100 / (60 * (0.2 + 1.1) + 40 * 0.05))
    assert two.tokens_per_second == pytest.approx(100 / (45 * (0.2 + 0.1 + 1.3) + 20 * 0.05))
    assert two.block_efficiency == pytest.approx(100 / 45)
    assert two.acceptance_rate == pytest.approx(55 / 80)
    assert (lookup.policy, lookup.tokens_per_second) == (NGRAM, pytest.approx(100 / (85 * 1.0 + 5 * 1.1 + 3 * 1.3)))


def test_a_length_whose_rows_were_not_timed_is_left_out():
    passes = MeasuredPasses(target=(1.0, 1.1), drafter=DraftCosts(first=0.2, next=0.2))
    assert [(way.policy, way.draft_length) for way in predicted_ways(FORECAST, passes)] == [(PLAIN, 0), (FIXED, 1)]


@pytest.mark.parametrize(
    ("step", "row", "expected"),
    [
        (0.05, 0.02, (FIXED, 2, True)),  # drafts and rows are cheap: long drafts
        (0.35, 0.20, (FIXED, 1, True)),
        (2.00, 0.05, (NGRAM, 2, True)),  # the drafter is dear, rows are not: look-ups
        (2.00, 3.00, (FIXED, 1, False)),  # both are dear
    ],
)
def test_the_device_decides(step, row, expected):
    choice = choose(FORECAST, turns(1.0, row, step), reads_states=False)
    assert (choice.best.policy, choice.best.draft_length, choice.speculate) == expected
    assert choice.speed_up.value == pytest.approx(choice.best.tokens_per_second / choice.plain.tokens_per_second)
    assert choice.chance_to_pay == (1.0 if choice.speculate else 0.0)


def test_the_interval_is_as_wide_as_the_times_spread():
    slow = [[*turns(2.0, 0.02, 0.05)[0]], *turns(1.0, 0.02, 0.5, 2)]
    wide, narrow = (choose(FORECAST, each, reads_states=False).speed_up for each in (slow, turns(1.0, 0.02, 0.05)))
    assert narrow.high - narrow.low == pytest.approx(0.0, abs=1e-9)
    assert wide.high - wide.low > 0.05
