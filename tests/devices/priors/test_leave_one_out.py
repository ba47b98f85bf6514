"""The law of leaving out: a device's own speeds say nothing to its own prediction or interval."""

import math

import numpy as np
import pytest
from scipy import stats

from edgedraft.devices.latency import NORMAL_80
from edgedraft.devices.priors.leave_one_out import LeaveOneOut, by_backend, spread_of, student_80
from tests.devices.priors.worlds import gpu_world, row


def test_a_device_is_predicted_from_the_others_alone():
    speeds = gpu_world()
    lied = [row(s.device, s.weight_bytes, s.seconds * (3 if s.device == "gpu-0" else 1)) for s in speeds]
    honest, lying = LeaveOneOut(tuple(speeds)), LeaveOneOut(tuple(lied))
    for told, false in zip(honest.errors("gpu-0"), lying.errors("gpu-0"), strict=True):
        assert false.log_error - told.log_error == pytest.approx(math.log(3))
    assert lying.spread(speeds[0].name, "gpu-0") == honest.spread(speeds[0].name, "gpu-0")
    assert lying.spread(speeds[0].name).log_reach > honest.spread(speeds[0].name).log_reach


def test_the_interval_of_devices_that_differ_is_theirs_and_of_equal_ones_is_small():
    equal, apart = LeaveOneOut(tuple(gpu_world())), LeaveOneOut(tuple(gpu_world(scatter=0.3)))
    assert equal.spread("GPU maker engine").log_reach < 0.02
    spread = apart.spread("GPU maker engine")
    assert 0.1 < spread.log_reach < 0.5
    assert spread.device_sigma > 3 * spread.own_sigma
    assert (spread.rows, spread.devices) == (32, 8)


def test_rows_that_are_not_strict_are_not_judged_where_strict_ones_are():
    speeds = gpu_world()
    loose = [row("loose", s.weight_bytes, 2 * s.seconds, strict=False) for s in speeds[:4]]
    spread = LeaveOneOut((*speeds, *loose)).spread("GPU maker engine")
    assert (spread.rows, spread.devices) == (32, 8)


def test_a_class_without_rows_has_the_pool_alone():
    spread = LeaveOneOut(tuple(gpu_world(scatter=0.3))).spread("GPU nobody none")
    assert (spread.rows, spread.devices) == (0, 0)
    assert spread.log_reach > 0.1


def test_few_devices_widen_the_interval():
    errors = [[0.1, -0.1]]
    reaches = [spread_of(errors * count, errors).log_reach for count in (1, 3, 30)]
    assert reaches[0] > reaches[1] > reaches[2]
    assert reaches[2] == pytest.approx(0.1 * math.sqrt(math.pi / 2) * NORMAL_80, rel=0.05)


def test_what_rows_share_is_the_devices_and_the_rest_their_own():
    together = spread_of([[0.2, 0.2], [-0.2, -0.2]], [[0.2]])
    apart = spread_of([[0.2, -0.2], [-0.2, 0.2]], [[0.2]])
    assert together.own_sigma == 0
    assert apart.device_sigma == 0
    assert together.device_sigma == pytest.approx(apart.own_sigma)


def test_eighty_percent_of_new_devices_are_inside():
    rng = np.random.default_rng(5)
    held = []
    for _ in range(4000):
        errors = rng.normal(0, 0.1, 6)
        reach = spread_of([[e] for e in errors[:5]], [[abs(rng.normal(0, 0.1))] for _ in range(9)]).log_reach
        held.append(abs(errors[5]) <= reach)
    assert np.mean(held) == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 10, 100])
def test_students_quantile(freedom):
    assert student_80(freedom) == pytest.approx(stats.t.ppf(0.9, freedom), rel=0.045)


def test_backends_without_rows_are_left_away():
    assert list(by_backend(gpu_world(), ("cpu", "gpu"))) == ["gpu"]
