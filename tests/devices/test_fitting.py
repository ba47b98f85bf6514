"""The law of fitting: steps made by the formula give the formula back, and its sigmas tell how far steps spread."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.devices.fitting import TYPICAL_BYTES, TYPICAL_PRODUCTS, fit_probe, fit_step_model
from edgedraft.devices.latency import StepModel
from edgedraft.devices.profile import Probe, ProbedOverhead, ProbedStep
from edgedraft.devices.steps import StepTime
from edgedraft.runtime.base.errors import EdgedraftError

QUARTILE = 0.6744897501960817


def step(weight_bytes: int, rows: int, seconds: float, sigma: float = 0.0) -> StepTime:
    """A step whose logarithm is spread normally by ``sigma``."""
    reach = math.exp(QUARTILE * sigma)
    return StepTime(
        role="target",
        precision="int4",
        weight_bytes=weight_bytes,
        rows=rows,
        seconds=seconds,
        seconds_low=seconds / reach,
        seconds_high=seconds * reach,
    )


def steps_of(model: StepModel, sizes: list[int]) -> list[StepTime]:
    return [step(size, rows, model.seconds(size, rows)) for size in sizes for rows in model.rows]


# --- steps of real models --------------------------------------------------------------------------------------------


@given(
    overhead=st.floats(1e-4, 0.02),
    bandwidth=st.floats(1e9, 1e12),
    sizes=st.lists(st.integers(10**7, 4 * 10**9), min_size=2, max_size=5, unique=True).filter(
        lambda sizes: max(sizes) > 2 * min(sizes)
    ),
    factors=st.lists(st.floats(1, 9), min_size=3, max_size=3).map(sorted),
)
def test_overhead_bandwidth_and_row_factors_are_recovered(overhead, bandwidth, sizes, factors):
    truth = StepModel(
        overhead_seconds=overhead, seconds_per_byte=1 / bandwidth, rows=(1, 2, 4, 9), row_factors=(1.0, *factors)
    )
    fitted = fit_step_model(steps_of(truth, sizes))
    assert fitted.rows == truth.rows
    assert fitted.row_factors == pytest.approx(truth.row_factors, rel=1e-6)
    assert (fitted.device_sigma, fitted.own_sigma, fitted.growth_sigma) == pytest.approx((0, 0, 0), abs=1e-6)
    for size in (*sizes, 10**8, 3 * 10**9):
        for rows in (1, 2, 3, 7, 9, 12):
            assert fitted.seconds(size, rows) == pytest.approx(truth.seconds(size, rows), rel=1e-4, abs=1e-7)


def test_overhead_and_bandwidth_by_hand():
    fitted = fit_step_model([step(10**9, 1, 0.052), step(2 * 10**9, 1, 0.102), step(4 * 10**9, 1, 0.202)])
    assert fitted.overhead_seconds == pytest.approx(0.002)
    assert fitted.seconds_per_byte == pytest.approx(1 / 20e9)
    assert fitted.own_sigma == pytest.approx(0, abs=1e-9)


def test_one_size_has_no_overhead_and_takes_the_median():
    fitted = fit_step_model([step(10**9, 1, seconds) for seconds in (0.04, 0.05, 0.09)])
    assert fitted.overhead_seconds == 0
    assert fitted.seconds_per_byte == pytest.approx(0.05 / 10**9)
    assert fitted.own_sigma == pytest.approx(math.sqrt((math.log(0.8) ** 2 + math.log(1.8) ** 2) / 3))


def test_smaller_models_that_took_longer_give_no_negative_bandwidth():
    fitted = fit_step_model([step(10**9, 1, 0.06), step(2 * 10**9, 1, 0.04)])
    assert (fitted.overhead_seconds, fitted.seconds_per_byte) == (pytest.approx(0.05), 0.0)


def test_overhead_is_never_negative():
    fitted = fit_step_model([step(10**9, 1, 0.04), step(2 * 10**9, 1, 0.10)])
    assert fitted.overhead_seconds == 0
    assert fitted.seconds_per_byte == pytest.approx((1 * 0.04 + 2 * 0.10) / (1 + 4) / 1e9)


def test_the_own_sigma_is_how_far_one_row_steps_miss_the_line():
    fitted = fit_step_model([step(10**9, 1, 0.05), step(2 * 10**9, 1, 0.12), step(3 * 10**9, 1, 0.15)])
    guesses = [fitted.seconds(size * 10**9, 1) for size in (1, 2, 3)]
    missed = [math.log(taken / guess) for guess, taken in zip(guesses, (0.05, 0.12, 0.15), strict=True)]
    assert fitted.own_sigma == pytest.approx(math.sqrt(sum(each**2 for each in missed) / 3))
    assert fitted.own_sigma > 0.05


@given(sigma=st.floats(0.001, 0.5))
def test_the_device_sigma_is_the_spread_of_one_row_steps(sigma):
    steps = [step(10**9, 1, 0.04, sigma), step(2 * 10**9, 1, 0.08, sigma), step(10**9, 4, 0.06, 3.0)]
    assert fit_step_model(steps).device_sigma == pytest.approx(sigma)


@given(sigma=st.floats(0.001, 0.01), cost=st.floats(1.05, 9))
def test_the_growth_sigma_makes_the_spread_of_several_rows(sigma, cost):
    """A model whose only doubt is the growth of v spreads a pass of four rows as the measured ones spread."""
    fitted = fit_step_model([step(10**9, 1, 0.04), step(10**9, 4, 0.04 * cost, sigma)])
    estimate = fitted.estimate(10**9, 4)
    assert math.log(estimate.high / estimate.value) == pytest.approx(1.2815515655446004 * sigma)


def test_rows_that_cost_nothing_say_nothing_of_growth():
    assert fit_step_model([step(10**9, 1, 0.04), step(10**9, 2, 0.04, 0.2)]).growth_sigma == 0


def test_row_factors_are_medians_over_the_models_timed_with_both():
    steps = [step(size, 1, 0.010) for size in (1, 2, 3)]
    steps += [step(1, 4, 0.015), step(2, 4, 0.020), step(3, 4, 0.040), step(2, 2, 0.012)]
    fitted = fit_step_model(steps)
    assert fitted.rows == (1, 2, 4)
    assert fitted.row_factors == pytest.approx((1.0, 1.2, 2.0))


@given(st.permutations(range(6)))
def test_the_order_of_the_steps_does_not_matter(order):
    steps = [step(size, rows, size * rows * 1e-9) for size in (10**6, 3 * 10**6) for rows in (1, 2, 5)]
    shuffled = fit_step_model([steps[place] for place in order])
    assert (shuffled.rows, shuffled.row_factors) == ((1, 2, 5), pytest.approx((1.0, 2.0, 5.0)))
    assert shuffled.seconds(10**9, 1) == pytest.approx(fit_step_model(steps).seconds(10**9, 1))


def test_one_row_is_the_unit_however_often_it_was_timed():
    fitted = fit_step_model([step(10**9, 1, 0.04), step(10**9, 1, 0.08), step(10**9, 4, 0.09)])
    assert fitted.row_factors[0] == 1.0


def test_fitted_figures_are_plain_numbers():
    fitted = fit_step_model([step(10**9, 1, 0.05), step(2 * 10**9, 1, 0.1), step(10**9, 3, 0.08, 0.1)])
    sigmas = (fitted.device_sigma, fitted.own_sigma, fitted.growth_sigma)
    assert {type(value) for value in (fitted.overhead_seconds, fitted.seconds_per_byte, *sigmas)} == {float}
    assert {type(value) for value in fitted.row_factors} == {float}


@pytest.mark.parametrize(("rows", "got"), [([], "[]"), ([2, 4], "[2, 4]")])
def test_steps_without_a_single_row_are_refused(rows, got):
    with pytest.raises(EdgedraftError) as error:
        fit_step_model([step(10**9, count, 0.05) for count in rows])
    assert str(error.value) == f"latency model: expected a one-row step, got {got}"


def test_rows_timed_on_another_model_only_are_refused():
    with pytest.raises(EdgedraftError) as error:
        fit_step_model([step(10**9, 1, 0.05), step(2 * 10**9, 4, 0.07)])
    assert str(error.value) == "latency model: 4 rows were timed on a model never timed with one row"


# --- the probe's chains ----------------------------------------------------------------------------------------------

RUN_SECONDS = 2e-5


def probed(width: int, layers: int, rows: int, seconds: float, sigma: float = 0.0, **kind: str) -> ProbedStep:
    reach = math.exp(QUARTILE * sigma)
    return ProbedStep(
        **({"provider": "cpu", "precision": "int4"} | kind),
        threads=2,
        width=width,
        layers=layers,
        weight_bytes=10**8 + layers,
        rows=rows,
        seconds=seconds,
        seconds_low=seconds / reach,
        seconds_high=seconds * reach,
    )


def probe_of(*steps: ProbedStep) -> Probe:
    overhead = ProbedOverhead(provider="cpu", seconds=RUN_SECONDS, seconds_low=RUN_SECONDS, seconds_high=RUN_SECONDS)
    return Probe(
        date="2026-11-22",
        system="a laptop",
        onnxruntime="1.32.0",
        noise=0.0,
        trusted=True,
        steps=steps,
        overheads=(overhead,),
    )


def chains(costs: dict[int, tuple[float, float]], sigma: float = 0.0, **kind: str) -> list[ProbedStep]:
    """Two widths of a device on which, by rows, each product and each byte takes so long."""
    return [
        probed(width, layers, rows, RUN_SECONDS + layers * each + (10**8 + layers) * per_byte, sigma, **kind)
        for rows, (each, per_byte) in costs.items()
        for width, layers in ((1024, 160), (2048, 40))
    ]


@given(
    each=st.lists(st.floats(0, 1e-4), min_size=3, max_size=3),
    bandwidths=st.lists(st.floats(1e9, 1e11), min_size=3, max_size=3),
)
def test_costs_of_products_and_bytes_are_recovered(each, bandwidths):
    costs = {rows: (each[i], 1 / bandwidths[i]) for i, rows in enumerate((1, 4, 16))}
    fitted = fit_probe(probe_of(*chains(costs))).of("int4", "cpu")

    def pass_seconds(rows: int) -> float:
        return RUN_SECONDS + TYPICAL_PRODUCTS * costs[rows][0] + TYPICAL_BYTES * costs[rows][1]

    assert fitted.overhead_seconds == pytest.approx(RUN_SECONDS + TYPICAL_PRODUCTS * each[0], rel=1e-4, abs=1e-8)
    assert fitted.seconds_per_byte == pytest.approx(1 / bandwidths[0], rel=1e-4)
    for rows in (1, 4, 16):
        assert fitted.seconds(TYPICAL_BYTES, rows) == pytest.approx(pass_seconds(rows), rel=1e-4)


ONE_ROW, FIVE_ROWS = (1e-5, 4e-11), (1e-5, 8e-11)


@pytest.mark.parametrize(
    ("ours", "taken"),
    [
        ({1: (1e-5, 5e-11), 5: (1e-5, 6e-11)}, "avx2"),  # slower at one row, but faster on the whole
        ({1: (1e-5, 5e-11), 5: (1e-5, 7.9e-11)}, "stock"),
        ({1: (1e-5, 5e-11), 5: (1e-5, 7.9e-11), 16: (1e-5, 1e-11)}, "stock"),  # nobody plans 16 rows
    ],
)
def test_the_kernels_that_take_least_time_at_the_planned_rows_are_taken(ours, taken):
    stock = chains({1: ONE_ROW, 5: FIVE_ROWS, 16: (1e-5, 3e-10)}, kernels="stock")
    fitted = fit_probe(probe_of(*stock, *chains(ours, kernels="avx2"))).of("int4", "cpu")
    per_byte = {"stock": ONE_ROW[1], "avx2": ours[1][1]}
    assert fitted.kernels == taken
    assert fitted.seconds_per_byte == pytest.approx(per_byte[taken])


def test_steps_that_did_not_record_their_kernels_are_fitted_as_ever():
    assert fit_probe(probe_of(*chains({1: ONE_ROW, 5: FIVE_ROWS}))).of("int4", "cpu").kernels == ""


def test_each_precision_on_each_provider_has_its_own_model():
    probe = probe_of(
        *chains({1: (1e-5, 4e-11), 4: (2e-5, 8e-11)}),
        *chains({1: (1e-5, 2e-11), 4: (1e-5, 3e-11)}, precision="int8"),
        *chains({1: (1e-5, 1e-11)}, provider="cuda"),
    )
    model = fit_probe(probe)
    assert model.device == "a laptop"
    assert sorted(model.models) == [("int4", "cpu"), ("int4", "cuda"), ("int8", "cpu")]
    assert [model.of(*kind).seconds_per_byte for kind in sorted(model.models)] == pytest.approx([4e-11, 1e-11, 2e-11])


def test_the_spread_of_one_row_steps_is_the_devices():
    assert fit_probe(probe_of(*chains({1: (0.0, 4e-11)}, sigma=0.1))).of("int4", "cpu").device_sigma == pytest.approx(
        0.1
    )


def test_doubt_is_half_the_way_to_what_the_widest_chain_alone_says():
    fitted = fit_probe(probe_of(*chains({1: (1e-5, 2e-11), 8: (4e-5, 9e-11)}))).of("int4", "cpu")
    wide = {
        rows: (RUN_SECONDS + 40 * each + (10**8 + 40) * per) for rows, each, per in ((1, 1e-5, 2e-11), (8, 4e-5, 9e-11))
    }
    scaled = wide[1] * TYPICAL_BYTES / (10**8 + 40)
    assert fitted.own_sigma == pytest.approx(abs(math.log(fitted.seconds(TYPICAL_BYTES, 1) / scaled)) / 2)
    growths = (fitted.verification_cost(8) - 1, wide[8] / wide[1] - 1)
    assert fitted.growth_sigma == pytest.approx(abs(math.log(growths[0] / growths[1])) / 2)
    assert fitted.own_sigma > 0.01 and fitted.growth_sigma > 0.001


def test_one_width_leaves_no_overhead_but_the_runs():
    steps = [each for each in chains({1: (1e-5, 2e-11)}) if each.width == 2048]
    fitted = fit_probe(probe_of(*steps)).of("int4", "cpu")
    assert fitted.overhead_seconds == RUN_SECONDS
    assert fitted.seconds_per_byte == pytest.approx((steps[0].seconds - RUN_SECONDS) / steps[0].weight_bytes)


def test_narrow_chains_that_were_faster_give_no_negative_overhead():
    steps = [probed(1024, 160, 1, 0.002), probed(2048, 40, 1, 0.003)]
    fitted = fit_probe(probe_of(*steps)).of("int4", "cpu")
    assert fitted.overhead_seconds == RUN_SECONDS
    assert fitted.seconds_per_byte == pytest.approx((0.0025 - RUN_SECONDS) / 1e8, rel=1e-5)


def test_chains_that_cost_nothing_but_products_give_no_negative_bandwidth():
    fitted = fit_probe(probe_of(probed(1024, 160, 1, 0.02), probed(2048, 40, 1, 0.002))).of("int4", "cpu")
    sizes = np.array([160.0, 40.0])
    each = float(sizes @ (np.array([0.02, 0.002]) - RUN_SECONDS) / (sizes @ sizes))
    assert fitted.seconds_per_byte == 0
    assert fitted.overhead_seconds == pytest.approx(RUN_SECONDS + TYPICAL_PRODUCTS * each)


def test_a_probe_without_single_rows_is_refused():
    with pytest.raises(EdgedraftError) as error:
        fit_probe(probe_of(*chains({4: (1e-5, 2e-11)})))
    assert str(error.value) == "probe: expected a one-row step, got [4]"


@given(
    seconds=st.lists(st.floats(1e-6, 1.0), min_size=8, max_size=8),
    sigma=st.floats(0, 3),
    seed=st.integers(0, 9),
)
def test_however_noisy_a_probe_was_no_pass_takes_less_than_no_time(seconds, sigma, seed):
    sizes = [(rows, width, layers) for rows in (1, 2, 4, 8) for width, layers in ((1024, 160), (2048, 40))]
    steps = [
        probed(width, layers, rows, taken, sigma) for (rows, width, layers), taken in zip(sizes, seconds, strict=True)
    ]
    model = fit_probe(probe_of(*steps)).of("int4", "cpu")
    drawn = model.sampled(1.0, np.random.default_rng(seed))
    assert all(each.seconds(1e6, rows) > 0 for each in (model, drawn) for rows in range(1, 18))


def test_more_rows_never_take_less():
    steps = [step(10**9, rows, seconds) for rows, seconds in ((1, 0.040), (2, 0.038), (3, 0.050), (4, 0.048))]
    assert fit_step_model(steps).row_factors == pytest.approx((1.0, 1.0, 1.25, 1.25))
