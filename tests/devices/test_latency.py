"""The law of the latency model: one formula, an interval that its sigmas make, and draws that fill that interval."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.devices.latency import NORMAL_80, LatencyModel, StepModel
from edgedraft.runtime.base.errors import EdgedraftError

MODEL = StepModel(overhead_seconds=0.001, seconds_per_byte=1e-9, rows=(1, 2, 4), row_factors=(1.0, 1.1, 1.5))


@pytest.mark.parametrize(
    ("rows", "cost"), [(1, 1.0), (2, 1.1), (3, 1.3), (4, 1.5), (5, 1.7), (9, 2.5)], ids=lambda value: str(value)
)
def test_rows_between_are_interpolated_and_rows_beyond_follow_the_last_slope(rows, cost):
    assert MODEL.verification_cost(rows) == pytest.approx(cost)
    assert MODEL.seconds(4e6, rows) == pytest.approx(0.005 * cost)


def test_rows_beyond_do_not_follow_a_fall():
    tiled = dataclasses.replace(MODEL, row_factors=(1.0, 3.0, 1.2))
    assert [tiled.verification_cost(rows) for rows in (2, 3, 4, 5, 17)] == pytest.approx([3.0, 2.1, 1.2, 1.2, 1.2])


def test_a_model_of_one_row_alone_costs_the_same_for_more():
    alone = StepModel(overhead_seconds=0.0, seconds_per_byte=1e-9)
    assert [alone.verification_cost(rows) for rows in (1, 2, 9)] == [1.0, 1.0, 1.0]


def test_predictions_are_plain_numbers():
    assert type(MODEL.seconds(4e6, 3)) is float


def test_what_is_known_has_no_interval():
    found = MODEL.estimate(4e6, 4)
    assert (found.low, found.value, found.high) == pytest.approx((0.0075, 0.0075, 0.0075))


@given(device=st.floats(0, 1), own=st.floats(0, 1), growth=st.floats(0, 1), rows=st.integers(1, 8))
def test_the_interval_grows_with_every_doubt_and_one_row_knows_no_growth(device, own, growth, rows):
    unsure = dataclasses.replace(MODEL, device_sigma=device, own_sigma=own, growth_sigma=growth)
    found = unsure.estimate(4e6, rows)
    assert found.low <= found.value <= found.high
    assert found.value == MODEL.seconds(4e6, rows)
    reach = math.log(found.high / found.value) / NORMAL_80
    share = (MODEL.verification_cost(rows) - 1) / MODEL.verification_cost(rows)
    assert reach == pytest.approx(math.sqrt(device**2 + own**2 + (share * growth) ** 2))


def test_draws_fill_the_interval():
    unsure = dataclasses.replace(MODEL, device_sigma=0.2, own_sigma=0.1, growth_sigma=0.3)
    rng = np.random.default_rng(0)
    drawn = [unsure.sampled(float(rng.standard_normal()), rng).seconds(4e6, 4) for _ in range(20_000)]
    found = unsure.estimate(4e6, 4)
    held = np.mean([(found.low <= each <= found.high) for each in drawn])
    assert held == pytest.approx(0.8, abs=0.015)
    assert np.median(drawn) == pytest.approx(found.value, rel=0.01)


def test_a_draw_keeps_the_shape_of_a_step_model():
    unsure = dataclasses.replace(MODEL, device_sigma=0.5, own_sigma=0.5, growth_sigma=0.5)
    drawn = unsure.sampled(1.0, np.random.default_rng(3))
    assert drawn.row_factors[0] == 1.0
    assert drawn.overhead_seconds / drawn.seconds_per_byte == pytest.approx(0.001 / 1e-9)
    growths = [(b - 1) / (a - 1) for a, b in zip(MODEL.row_factors[1:], drawn.row_factors[1:], strict=True)]
    assert growths == pytest.approx([growths[0]] * 2)


def test_a_draw_leaves_rows_that_cost_less_than_one_as_they_are():
    tiled = dataclasses.replace(MODEL, row_factors=(1.0, 3.0, 0.4), growth_sigma=2.0)
    drawn = [tiled.sampled(0.0, np.random.default_rng(seed)).row_factors for seed in range(20)]
    assert {factors[2] for factors in drawn} == {0.4}
    assert len({factors[1] for factors in drawn}) == 20


def test_models_are_found_by_precision_and_provider():
    model = LatencyModel(device="a board", models={("int4", "cpu"): MODEL})
    assert model.seconds(4e6, 2, "int4", "cpu").value == pytest.approx(0.0055)
    with pytest.raises(EdgedraftError) as error:
        model.seconds(4e6, 2, "int8", "gpu")
    assert str(error.value) == "latency of a board: expected one of int4 on cpu, got int8 on gpu"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"overhead_seconds": -0.1},
            "latency model: overhead and seconds per byte must be 0 or more, got (-0.1, 1e-09)",
        ),
        ({"rows": (2, 3, 4)}, "latency model: rows must begin with 1 and ascend, got (2, 3, 4)"),
        ({"rows": (1, 4, 4)}, "latency model: rows must begin with 1 and ascend, got (1, 4, 4)"),
        (
            {"row_factors": (1.0, 2.0)},
            "latency model: expected a factor for each number of rows, 1 for one row, got (1.0, 2.0)",
        ),
        (
            {"row_factors": (1.0, 0.0, 2.0)},
            "latency model: factors must be above 0, got (1.0, 0.0, 2.0)",
        ),
    ],
    ids=str,
)
def test_impossible_models_are_refused(change, message):
    with pytest.raises(EdgedraftError) as error:
        dataclasses.replace(MODEL, **change)
    assert str(error.value) == message


def test_a_device_without_a_model_is_refused():
    with pytest.raises(EdgedraftError, match=r"^latency of a board: expected one precision or more, got 0$"):
        LatencyModel(device="a board", models={})
