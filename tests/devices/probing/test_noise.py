"""Noise is the spread of a case's times, drift how far their middle moves; either alone is enough for distrust."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.devices.probing.noise import LEAST_ROUNDS, MOST_DRIFT, MOST_NOISE, MOST_SPREAD, Noise, noise_of, verdict
from edgedraft.devices.profile import Probe

PROBE = Probe(
    date="2026-11-22",
    system="a laptop",
    onnxruntime="1.32.0",
    noise=0.04,
    trusted=True,
    steps=(),
    drift=-0.02,
    rounds=40,
)


@given(scale=st.floats(1e-6, 1e3))
def test_noise_and_drift_have_no_unit(scale):
    found = noise_of([[scale * time for time in (1.0, 1.2, 0.8, 1.1, 1.0, 1.3)]])
    assert (found.noise, found.drift, found.rounds) == pytest.approx((0.175 / 1.05, 1.15 / 1.1 - 1, 6))


def test_noise_is_the_median_over_cases_of_quartile_width_over_median():
    quiet, noisy, wild = [1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 1.0, 2.0, 9.0, 9.0]
    assert noise_of([quiet, noisy, wild]).noise == pytest.approx(2 / 3)


def test_drift_is_the_last_third_against_the_first():
    slowing, steady = [1.0, 1.0, 5.0, 9.0, 1.5, 1.5], [2.0] * 6
    assert noise_of([slowing]).drift == pytest.approx(0.5)
    assert noise_of([slowing, steady, steady]).drift == 0
    assert noise_of([slowing[::-1]]).drift == pytest.approx(1 / 1.5 - 1)


def test_the_case_with_the_fewest_times_counts_the_rounds():
    assert noise_of([[1.0] * 9, [1.0] * 7]).rounds == 7


@pytest.mark.parametrize(
    ("changes", "trusted"),
    [
        ({}, True),
        ({"noise": MOST_NOISE}, True),
        ({"noise": MOST_SPREAD, "rounds": 60}, True),
        ({"noise": MOST_SPREAD + 0.001, "rounds": 60}, False),
        ({"noise": 0.15}, True),  # an idle machine whose clock changes
        ({"noise": 0.15, "rounds": 7}, False),  # too few rounds to know its medians
        ({"drift": -MOST_DRIFT}, True),
        ({"drift": -MOST_DRIFT - 0.001}, False),
        ({"drift": MOST_DRIFT + 0.001}, False),
        ({"rounds": LEAST_ROUNDS}, True),
        ({"rounds": LEAST_ROUNDS - 1}, False),
    ],
    ids=str,
)
def test_trust_ends_at_the_bounds(changes, trusted):
    assert Noise(**({"noise": 0.0, "drift": 0.0, "rounds": 40} | changes)).trusted is trusted


def test_times_of_a_quiet_machine_are_trusted_and_of_a_busy_one_are_not():
    rng = np.random.default_rng(0)
    assert noise_of(rng.lognormal(0, 0.03, (20, 30)).tolist()).trusted
    assert noise_of(rng.lognormal(0, 0.15, (20, 30)).tolist()).trusted
    assert not noise_of(rng.lognormal(0, 0.4, (20, 30)).tolist()).trusted


def test_the_error_of_medians_is_what_repeated_medians_show():
    times = np.random.default_rng(0).normal(1, 0.05, (4000, 25))
    found = noise_of(times[:200].tolist())
    assert found.error == pytest.approx(np.median(times, axis=1).std(), rel=0.1)


def test_the_verdict_says_what_was_wrong_with_the_figures():
    assert verdict(PROBE) == (
        "The machine was quiet enough to trust: passes spread by 4%, drifted by -2% over 40 rounds."
    )
    assert verdict(replace(PROBE, noise=0.15)) == (
        "The machine was busy, but the medians are known within 2.2%: passes spread by 15%, drifted by -2% over 40 "
        "rounds. Intervals are wider."
    )
    few = replace(PROBE, trusted=False, noise=0.3, rounds=9)
    assert verdict(few).startswith("Do not trust these figures (medians known within 9% only): passes spread by 30%")
    bad = replace(PROBE, trusted=False, noise=0.57, drift=1.73, rounds=4)
    assert verdict(bad) == (
        "Do not trust these figures (a spread above 35% and a drift above 10% and fewer than 5 rounds): passes spread "
        "by 57%, drifted by +173% over 4 rounds. Close other programs and probe again."
    )
