"""What the adaptive policy learns, as numbers alone: pass times, acceptance rates, a loss budget, backoff."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core.estimators import AcceptanceEstimator, Backoff, LossBudget
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


def test_a_kind_never_judged_has_its_prior():
    assert AcceptanceEstimator().rate("a", 0.625) == 0.625


def test_the_prior_is_worth_as_many_drafts_as_its_weight():
    estimator = AcceptanceEstimator(prior_weight=4.0, memory=1.0)
    for accepted in (True, True, False, True):
        estimator.record("a", accepted)
    assert estimator.rate("a", 0.5) == (3 + 4 * 0.5) / (4 + 4)
    assert estimator.rate("b", 0.5) == 0.5


@LAWS
@given(judged=st.lists(st.booleans(), max_size=60), prior=st.floats(0, 1))
def test_rates_lie_between_0_and_1(judged, prior):
    estimator = AcceptanceEstimator()
    for accepted in judged:
        estimator.record("a", accepted)
    assert 0 <= estimator.rate("a", prior) <= 1 + 1e-12


def test_old_drafts_fade():
    estimator = AcceptanceEstimator()
    for accepted in [True] * 200 + [False] * 100:
        estimator.record("a", accepted)
    assert estimator.rate("a", 0.9) < 0.2


def test_no_round_may_risk_more_than_there_is():
    budget = LossBudget(share=0.125, steps=1.0)
    assert (budget.covers(1.0), budget.covers(1.01)) == (True, False)
    budget.record(1, 1.5)  # 1 + 1 - 1.5 + 0.125
    assert (budget.covers(0.625), budget.covers(0.63)) == (True, False)


def test_gains_are_saved_up_to_the_most():
    budget = LossBudget(share=0.0, steps=1.0, most=3.0)
    for _ in range(10):
        budget.record(4, 1.0)
    assert (budget.covers(3.0), budget.covers(3.1)) == (True, False)


@LAWS
@given(rounds=st.lists(st.tuples(st.integers(1, 9), st.floats(0, 9)), max_size=300))
def test_what_is_covered_never_loses_more_than_the_share_and_a_step(rounds):
    """Every round commits a token at least, so one that may cost ``risk`` steps more loses ``risk`` at most."""
    budget, spent, tokens = LossBudget(share=0.018), 0.0, 0
    for committed, risk in rounds:
        committed, steps = (committed, 1 + risk) if budget.covers(risk) else (1, 1.0)
        budget.record(committed, steps)
        spent, tokens = spent + steps, tokens + committed
        assert spent <= tokens * 1.018 + 1 + 1e-9


def drafts_asked(tokens, kept=lambda asked: False):
    """Where a drafter that is not expected to pay is asked, one token a round."""
    backoff, asked = Backoff(), []
    for token in range(tokens):
        may = backoff.may_draft(False)
        if may:
            asked.append(token)
        backoff.record(1, may, may and kept(len(asked)))
    return asked


def test_pauses_double_up_to_the_longest():
    assert drafts_asked(160) == [4, 12, 28, 60, 92, 124, 156]


def test_a_pause_in_which_nothing_was_asked_stays_open():
    backoff = Backoff()
    for _ in range(200):
        backoff.record(1, False, False)
    assert backoff.may_draft(False)


def test_an_accepted_draft_starts_the_backoff_anew():
    assert drafts_asked(60, kept=lambda asked: asked == 3) == [4, 12, 28, 33, 41, 57]


def test_what_pays_is_always_asked():
    backoff = Backoff()
    for _ in range(200):
        assert backoff.may_draft(True)
        backoff.record(1, True, False)
