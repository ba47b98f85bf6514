"""The law of the fit: speeds made by the formula give the formula back; a wild row or a rare class does not mislead."""

import math

import pytest

from edgedraft.devices.priors.speed_fitting import BandwidthTest, bandwidth_tests, fit_speeds
from edgedraft.devices.priors.speed_model import Classes, SpeedCase, case_of
from edgedraft.runtime.base.errors import EdgedraftError
from tests.devices.priors.worlds import SIZES, gpu_world, row


def seconds(model, device, weight_bytes, hardware="maker", software="engine"):
    classes = Classes(device=device, hardware=hardware, software=software, packing="4-bit")
    case = SpeedCase(
        classes=classes,
        streamed_bytes=weight_bytes,
        parameters=2 * weight_bytes,
        threads=1,
        peak_bytes_per_second=100e9,
    )
    return model.parts(case).seconds


def test_a_new_device_of_a_known_class_gets_the_class_speed():
    model = fit_speeds(gpu_world())
    for size in SIZES:
        assert seconds(model, "new", size) == pytest.approx(0.003 + size / 80e9, rel=0.02)


def test_one_wild_row_hardly_moves_the_class():
    speeds = gpu_world()
    wild = [*speeds[1:], row("gpu-0", SIZES[0], 20 * speeds[0].seconds)]
    for size in SIZES:
        assert seconds(fit_speeds(wild), "new", size) == pytest.approx(0.003 + size / 80e9, rel=0.08)


def test_a_class_of_one_device_is_believed_less_than_a_class_of_many():
    slow = gpu_world(1, alpha=0.3, hardware="other")
    slow = [row("slow", speed.weight_bytes, speed.seconds, hardware="other") for speed in slow]
    model = fit_speeds([*gpu_world(), *slow])
    many, few = seconds(model, "new", 8e9), seconds(model, "new", 8e9, hardware="other")
    assert many == pytest.approx(0.103, rel=0.05)
    assert 0.103 * 1.2 < few < 0.003 + 8e9 / 30e9
    assert seconds(model, "slow", 8e9, hardware="other") > few


def test_a_bandwidth_test_speaks_for_a_device_without_rows():
    speeds = gpu_world()
    tested = fit_speeds(speeds, [BandwidthTest(device="new", hardware="maker", share=0.4)])
    assert seconds(tested, "new", 8e9) > 1.2 * seconds(fit_speeds(speeds), "new", 8e9)
    assert seconds(tested, "newer", 8e9) < 1.2 * seconds(fit_speeds(speeds), "newer", 8e9)


def test_bandwidth_tests_come_from_the_rows_one_a_device():
    rows = [row("a", size, 0.1, reached_gigabytes_per_second=50.0) for size in SIZES] + [row("b", SIZES[0], 0.1)]
    assert bandwidth_tests(rows) == (BandwidthTest(device="a", hardware="maker", share=0.5),)


def cpu_rows():
    """Streaming at 70 GB/s beside 0.2 ns a parameter and thread for the slow packing, a tenth for the fast one."""
    rows = []
    for device in ("cpu-0", "cpu-1", "cpu-2"):
        for size in SIZES:
            for packing, nanoseconds in (("4-bit", 0.02), ("i-quant", 0.2)):
                took = 0.002 + math.hypot(size / 70e9, 2 * size * nanoseconds * 1e-9 / 4)
                rows.append(row(device, size, took, backend="cpu", threads=4, packing=packing))
    return rows


def test_a_cpu_that_unpacks_slowly_is_told_from_one_that_streams_slowly():
    speeds = cpu_rows()
    model = fit_speeds(speeds)
    for speed in speeds:
        assert model.parts(case_of(speed)).seconds == pytest.approx(speed.seconds, rel=0.1)
    slow = next(speed for speed in speeds if speed.packing == "i-quant" and speed.weight_bytes == SIZES[-1])
    assert model.parts(case_of(slow)).computing > 5 * model.parts(case_of(slow)).streaming / 2


def test_rows_of_two_backends_are_refused():
    with pytest.raises(EdgedraftError) as error:
        fit_speeds([*gpu_world(1), cpu_rows()[0]])
    assert str(error.value) == "speed model: expected rows of one backend, got ['cpu', 'gpu']"
