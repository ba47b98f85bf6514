"""The law of priors: they follow bandwidth and class, are wide where little was published, and say why."""

import math
from dataclasses import replace

import pytest

from edgedraft.devices.latency import NORMAL_80, LatencyModel, StepModel
from edgedraft.devices.priors.families import GpuClass, family_of
from edgedraft.devices.priors.prior import PRECISIONS, basis, latency_of, prior_basis, prior_latency
from edgedraft.devices.priors.published import devices_of, shipped_speeds
from edgedraft.devices.profile import Bandwidth, Bandwidths, DeviceProfile, Memory, Probe

GIGABYTE = 10**9


def profile(soc="Apple M9", kind="laptop", peak=200.0, certainty="verified", cores=8, cpu=None, gpu=None):
    def figure(value):
        return None if value is None else Bandwidth(gigabytes_per_second=value, certainty=certainty, source="made up")

    bandwidth = Bandwidths(peak=figure(peak), cpu=figure(cpu), gpu=figure(gpu))
    return DeviceProfile(
        id="new", name="New", kind=kind, soc=soc, memory=Memory(kind="DDR"), bandwidth=bandwidth, cores=cores
    )


def test_every_precision_has_a_prior_on_the_cpu_and_on_a_known_gpu():
    both = {(precision, provider) for precision in PRECISIONS for provider in ("cpu", "gpu")}
    assert set(prior_latency(profile()).models) == both
    assert {provider for _, provider in prior_latency(profile("BCM2712", "board")).models} == {"cpu"}


def test_twice_the_bandwidth_halves_what_a_gpu_streams_and_not_its_overhead():
    slow, fast = (prior_latency(profile(peak=peak)).of("int4", "gpu") for peak in (100.0, 200.0))
    assert slow.seconds_per_byte == pytest.approx(2 * fast.seconds_per_byte)
    assert slow.overhead_seconds == fast.overhead_seconds > 0
    assert 0.8 < 1 / (slow.seconds_per_byte * 100e9) < 1.0


def test_a_measured_bandwidth_is_heard():
    for provider, figures in (("cpu", {"cpu": 40.0}), ("gpu", {"gpu": 40.0})):
        told = prior_latency(profile(**figures)).of("fp32", provider)
        untold = prior_latency(profile()).of("fp32", provider)
        assert told.seconds_per_byte > 1.2 * untold.seconds_per_byte


def test_more_cores_help_a_cpu_and_not_a_gpu():
    few, many = (prior_latency(profile(cores=cores)) for cores in (2, 8))
    assert few.of("int4", "cpu").seconds_per_byte > 1.2 * many.of("int4", "cpu").seconds_per_byte
    assert few.of("int4", "gpu") == many.of("int4", "gpu")


def test_int4_bytes_cost_a_cpu_more_than_fp32_bytes():
    phone = prior_latency(profile("Dimensity 9999", "phone", 80.0, cores=4))
    assert phone.of("int4", "cpu").seconds_per_byte > phone.of("fp32", "cpu").seconds_per_byte


def test_verification_is_a_straight_line_of_the_shipped_slope():
    step = prior_latency(profile()).of("int4", "cpu")
    slope = math.sqrt(0.15 * 0.50)
    for rows in (1, 2, 5, 17, 33):
        assert step.verification_cost(rows) == pytest.approx(1 + slope * (rows - 1))
    assert slope * math.exp(NORMAL_80 * step.growth_sigma) == pytest.approx(0.50)


def test_an_unverified_peak_widens_the_interval():
    sure, unsure = (prior_latency(profile(certainty=c)).of("int4", "gpu") for c in ("verified", "estimate"))
    assert unsure.device_sigma == pytest.approx(math.hypot(sure.device_sigma, 0.12))
    assert unsure.own_sigma == sure.own_sigma


def test_a_gpu_that_nobody_published_is_less_sure_than_one_that_many_did():
    apple, other = prior_latency(profile()), prior_latency(profile("Exynos 9999", "phone"))
    reach = [model.seconds(GIGABYTE, 1, "int4", "gpu") for model in (apple, other)]
    assert reach[1].high / reach[1].value > 1.2 * reach[0].high / reach[0].value


def test_the_engine_we_run_is_not_the_published_one_so_our_own_sigma_is_wider():
    assert prior_latency(profile()).of("int4", "cpu").own_sigma > 0.3


def test_the_basis_counts_rows_and_devices():
    step = prior_latency(profile()).of("int4", "gpu").estimate(GIGABYTE, 1)
    strict = [speed for speed in shipped_speeds() if speed.strict]
    apple = [speed for speed in strict if speed.name == "GPU apple current"]
    cpu = [speed for speed in strict if speed.backend == "cpu"]
    assert prior_basis(profile(), "gpu") == (
        f"A prior, not a measurement: {len(apple)} published speeds of {len(devices_of(apple))} devices "
        "(GPU apple current); 80 % of devices should take "
        f"{step.low / step.value:.2f} to {step.high / step.value:.2f} times the predicted time of a step."
    )
    published = f"{len(cpu)} published speeds of {len(devices_of(cpu))} devices (CPU, all engines)"
    assert published in prior_basis(profile(), "cpu")
    assert "no published speeds (GPU of other makers phone)" in prior_basis(profile("Exynos 9999", "phone"), "gpu")


@pytest.mark.parametrize(
    ("soc", "kind", "cpu", "gpu"),
    [
        ("Apple M4 Pro", "laptop", "wide-arm", GpuClass(hardware="apple", software="current")),
        ("Intel Lunar Lake", "laptop", "x86", GpuClass(hardware="intel", software="current")),
        ("AMD Strix Halo", "laptop", "x86", GpuClass(hardware="amd", software="current")),
        ("Snapdragon X1E", "laptop", "wide-arm", GpuClass(hardware="adreno", software="phone")),
        ("Snapdragon 8 Elite Gen 5 (SM8850)", "phone", "wide-arm", GpuClass(hardware="adreno", software="phone")),
        ("Snapdragon 8 Gen 3", "phone", "cortex", GpuClass(hardware="adreno", software="phone")),
        ("Google Tensor G4", "phone", "cortex", GpuClass(hardware=None, software="phone")),
        ("Orin", "board", "cortex", GpuClass(hardware="nvidia", software="current")),
        ("BCM2712 (4x A76)", "board", "cortex", None),
        ("generic", "laptop", "x86", None),
    ],
)
def test_families(soc, kind, cpu, gpu):
    family = family_of(profile(soc, kind))
    assert (family.cpu, family.gpu) == (cpu, gpu)


PROBE = Probe(date="2026-11-22", system="here", onnxruntime="1.31", noise=0.5, trusted=False, steps=())


def test_a_probe_that_is_not_trusted_leaves_the_prior(monkeypatch):
    fitted = LatencyModel(device="fitted", models={("int4", "cpu"): StepModel(overhead_seconds=0, seconds_per_byte=1)})
    monkeypatch.setattr("edgedraft.devices.fitting.fit_probe", lambda probe: fitted, raising=False)
    assert latency_of(profile()).device == "New"
    assert latency_of(replace(profile(), probe=PROBE)).device == "New"
    assert latency_of(replace(profile(), probe=replace(PROBE, trusted=True))) is fitted


def test_the_basis_says_what_was_measured_and_what_was_not_trusted():
    measured, noisy = (basis(replace(profile(), probe=replace(PROBE, trusted=t)), "cpu") for t in (True, False))
    assert measured == "Measured on here on 2026-11-22: passes spread by 50%."
    assert noisy.startswith("Its probe is not trusted: passes spread by 50%. A prior, not a measurement: ")
    assert basis(profile(), "cpu") == prior_basis(profile(), "cpu")
