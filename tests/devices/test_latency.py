"""The law of the latency model: steps made by the formula give the formula back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.devices.latency import LatencyModel, fit_latency
from edgedraft.devices.steps import StepTime
from edgedraft.runtime.errors import EdgedraftError


def step(weight_bytes: int, rows: int, seconds: float) -> StepTime:
    return StepTime(
        role="target", weight_bytes=weight_bytes, rows=rows, seconds=seconds, seconds_low=seconds, seconds_high=seconds
    )


def steps_of(model: LatencyModel, sizes: list[int]) -> list[StepTime]:
    return [step(size, rows, model.seconds(size, rows)) for size in sizes for rows in model.rows]


# --- fitting ---------------------------------------------------------------------------------------------------------


@given(
    overhead=st.floats(1e-4, 0.02),
    bandwidth=st.floats(1e9, 1e12),
    sizes=st.lists(st.integers(10**7, 4 * 10**9), min_size=2, max_size=5, unique=True).filter(
        lambda sizes: max(sizes) > 2 * min(sizes)
    ),
    factors=st.lists(st.floats(1, 9), min_size=3, max_size=3),
)
def test_overhead_bandwidth_and_row_factors_are_recovered(overhead, bandwidth, sizes, factors):
    truth = LatencyModel(
        overhead_seconds=overhead,
        seconds_per_byte=1 / bandwidth,
        rows=(1, 2, 4, 9),
        row_factors=(1.0, *factors),
        residual=0.0,
    )
    fitted = fit_latency(steps_of(truth, sizes))
    assert fitted.rows == truth.rows
    assert fitted.row_factors == pytest.approx(truth.row_factors, rel=1e-6)
    assert fitted.residual < 1e-6
    for size in (*sizes, 10**8, 3 * 10**9):
        for rows in (1, 2, 3, 7, 9, 12):
            assert fitted.seconds(size, rows) == pytest.approx(truth.seconds(size, rows), rel=1e-4, abs=1e-7)


def test_overhead_and_bandwidth_by_hand():
    fitted = fit_latency([step(10**9, 1, 0.052), step(2 * 10**9, 1, 0.102), step(4 * 10**9, 1, 0.202)])
    assert fitted.overhead_seconds == pytest.approx(0.002)
    assert fitted.seconds_per_byte == pytest.approx(1 / 20e9)
    assert fitted.residual == pytest.approx(0, abs=1e-9)


def test_one_size_has_no_overhead_and_takes_the_median():
    fitted = fit_latency([step(10**9, 1, seconds) for seconds in (0.04, 0.05, 0.09)])
    assert fitted.overhead_seconds == 0
    assert fitted.seconds_per_byte == pytest.approx(0.05 / 10**9)
    assert fitted.residual == pytest.approx(1 - 0.05 / 0.09)


def test_smaller_models_that_took_longer_give_no_negative_bandwidth():
    fitted = fit_latency([step(10**9, 1, 0.06), step(2 * 10**9, 1, 0.04)])
    assert (fitted.overhead_seconds, fitted.seconds_per_byte) == (pytest.approx(0.05), 0.0)


def test_overhead_is_never_negative():
    sizes, seconds = [10**9, 2 * 10**9], [0.04, 0.10]
    fitted = fit_latency([step(size, 1, taken) for size, taken in zip(sizes, seconds, strict=True)])
    assert fitted.overhead_seconds == 0
    assert fitted.seconds_per_byte == pytest.approx((1 * 0.04 + 2 * 0.10) / (1 + 4) / 1e9)


def test_the_residual_is_the_worst_one_row_step():
    fitted = fit_latency([step(10**9, 1, 0.05), step(2 * 10**9, 1, 0.12), step(3 * 10**9, 1, 0.15)])
    guesses = [fitted.seconds(size * 10**9, 1) for size in (1, 2, 3)]
    worst = max(abs(guess / taken - 1) for guess, taken in zip(guesses, (0.05, 0.12, 0.15), strict=True))
    assert fitted.residual == pytest.approx(worst)
    assert fitted.residual > 0.05


def test_row_factors_are_medians_over_the_models_timed_with_both():
    steps = [step(size, 1, 0.010) for size in (1, 2, 3)]
    steps += [step(1, 4, 0.015), step(2, 4, 0.020), step(3, 4, 0.040), step(2, 2, 0.012)]
    fitted = fit_latency(steps)
    assert fitted.rows == (1, 2, 4)
    assert fitted.row_factors == pytest.approx((1.0, 1.2, 2.0))


@given(st.permutations(range(6)))
def test_the_order_of_the_steps_does_not_matter(order):
    steps = [step(size, rows, size * rows * 1e-9) for size in (10**6, 3 * 10**6) for rows in (1, 2, 5)]
    shuffled = fit_latency([steps[place] for place in order])
    assert (shuffled.rows, shuffled.row_factors) == ((1, 2, 5), pytest.approx((1.0, 2.0, 5.0)))
    assert shuffled.seconds(10**9, 1) == pytest.approx(fit_latency(steps).seconds(10**9, 1))


def test_one_row_is_the_unit_however_often_it_was_timed():
    fitted = fit_latency([step(10**9, 1, 0.04), step(10**9, 1, 0.08), step(10**9, 4, 0.09)])
    assert fitted.row_factors[0] == 1.0


# --- predicting ------------------------------------------------------------------------------------------------------


@pytest.fixture
def model() -> LatencyModel:
    return LatencyModel(
        overhead_seconds=0.001, seconds_per_byte=1e-9, rows=(1, 2, 4), row_factors=(1.0, 1.1, 1.5), residual=0.0
    )


@pytest.mark.parametrize(
    ("rows", "cost"), [(1, 1.0), (2, 1.1), (3, 1.3), (4, 1.5), (5, 1.7), (9, 2.5)], ids=lambda value: str(value)
)
def test_rows_between_are_interpolated_and_rows_beyond_follow_the_last_slope(model, rows, cost):
    assert model.verification_cost(rows) == pytest.approx(cost)
    assert model.seconds(4e6, rows) == pytest.approx(0.005 * cost)


def test_a_model_timed_with_one_row_alone_costs_the_same_for_more():
    model = fit_latency([step(10**9, 1, 0.05)])
    assert [model.verification_cost(rows) for rows in (1, 2, 9)] == [1.0, 1.0, 1.0]


def test_predictions_are_plain_numbers(model):
    assert type(model.seconds(4e6, 3)) is float
    fitted = fit_latency([step(10**9, 1, 0.05), step(2 * 10**9, 1, 0.1)])
    assert {type(value) for value in (fitted.overhead_seconds, fitted.seconds_per_byte, fitted.residual)} == {float}
    assert {type(value) for value in np.atleast_1d(fitted.row_factors).tolist()} == {float}


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "got"), [([], "[]"), ([2, 4], "[2, 4]")])
def test_steps_without_a_single_row_are_refused(rows, got):
    with pytest.raises(EdgedraftError) as error:
        fit_latency([step(10**9, count, 0.05) for count in rows])
    assert str(error.value) == f"latency model: expected a one-row step, got {got}"


def test_rows_timed_on_another_model_only_are_refused():
    with pytest.raises(EdgedraftError) as error:
        fit_latency([step(10**9, 1, 0.05), step(2 * 10**9, 4, 0.07)])
    assert str(error.value) == "latency model: 4 rows were timed on a model never timed with one row"
