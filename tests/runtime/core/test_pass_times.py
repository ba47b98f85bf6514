"""Pass times are the plan's until passes are measured, and outliers do not count."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core.pass_times import PassTimes

LAWS = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def test_unmeasured_times_are_the_plans_and_go_on_in_its_last_step():
    times = PassTimes((0.5, 0.75, 0.875))
    assert [times.seconds(rows) for rows in (1, 2, 3, 4, 7)] == [0.5, 0.75, 0.875, 1.0, 1.375]


def test_a_plan_of_one_row_knows_nothing_better_than_a_pass_a_row():
    assert [PassTimes((0.5,)).seconds(rows) for rows in (1, 2, 3)] == [0.5, 1.0, 1.5]


def test_a_plan_without_a_time_is_refused(raises_exactly):
    with raises_exactly("pass times: expected the seconds of a one-row pass at least, got 0"):
        PassTimes(())


def test_a_first_pass_of_several_rows_says_how_fast_the_machine_is():
    times = PassTimes((0.5, 0.75))
    times.record(2, 1.5)
    assert (times.seconds(1), times.seconds(2)) == (1.0, 1.5)


def test_passes_of_more_rows_say_nothing_about_a_measured_plain_step():
    times = PassTimes((0.1, 0.11))
    for seconds in (0.2, 0.2):
        times.record(1, seconds)
    times.record(4, 9.0)
    assert times.seconds(1) == 0.2
    assert times.seconds(5) > 9.0


@LAWS
@given(off=st.sampled_from([0.2, 0.5, 2.0, 5.0]), steep=st.floats(0, 0.5), rows=st.integers(2, 6))
def test_times_that_stay_are_learnt_whatever_the_plan_said(off, steep, rows):
    times = PassTimes((0.1, 0.11, 0.12))
    true = {1: 0.1 * off, rows: 0.1 * off * (1 + steep * (rows - 1))}
    for _ in range(400):
        for each, seconds in true.items():
            times.record(each, seconds)
    assert {each: times.seconds(each) for each in true} == pytest.approx(true, rel=0.02)


def test_outliers_do_not_count():
    times = PassTimes((0.1, 0.11))
    for seconds in (5.0, 0.1, 0.1, 9.0, 0.1):
        times.record(1, seconds)
    assert times.seconds(1) == 0.1


def test_a_pass_that_takes_no_time_on_the_clock_can_be_learnt():
    times = PassTimes((0.1, 0.11))
    times.record(1, 0.0)
    times.record(1, 0.1)
    assert times.seconds(1) > 0
