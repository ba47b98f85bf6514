"""A profile holds only figures that can be true, each with its certainty and source; an error names the key's path."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.devices.profile import (
    CERTAINTIES,
    PEAK_TOLERANCE,
    Bandwidth,
    Bandwidths,
    DeviceProfile,
    Fact,
    Memory,
    Probe,
    ProbedStep,
)
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import from_plain, to_plain


def bandwidth(value: float, certainty: str = "measured", source: str = "a page") -> Bandwidth:
    return Bandwidth(gigabytes_per_second=value, certainty=certainty, source=source)


def step(**changed) -> ProbedStep:
    return dataclasses.replace(
        ProbedStep(
            provider="cpu",
            precision="int4",
            threads=4,
            width=2048,
            layers=8,
            weight_bytes=10**8,
            rows=1,
            seconds=0.01,
            seconds_low=0.009,
            seconds_high=0.011,
        ),
        **changed,
    )


def probe(*steps: ProbedStep, noise: float = 0.02) -> Probe:
    steps = steps or (step(),)
    return Probe(date="2026-11-22", system="a", onnxruntime="1.31.0", noise=noise, trusted=True, steps=steps)


def profile(**changed) -> DeviceProfile:
    given = {
        "id": "some-laptop",
        "name": "Some Laptop",
        "kind": "laptop",
        "soc": "Some Chip",
        "memory": Memory(kind="LPDDR5", data_rate_megatransfers=6400, bus_bits=128, gigabytes=(16.0,)),
        "bandwidth": Bandwidths(peak=bandwidth(102.4), cpu=bandwidth(80.0), gpu=bandwidth(90.0)),
        **changed,
    }
    return DeviceProfile(**given)


def peak_of(value: float) -> Bandwidths:
    return Bandwidths(peak=bandwidth(value))


UNKNOWN = Memory(kind="unknown")


def test_a_profile_survives_plain_data():
    whole = profile(cores=4, cache=Fact(value="8 MB", certainty="conflict", source="two pages"), probe=probe())
    assert from_plain(DeviceProfile, to_plain(whole), "a") == whole


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"id": " "}, "id: expected a name, got ' '"),
        ({"name": ""}, "name: expected a name, got ''"),
        ({"kind": "toaster"}, "kind: expected one of laptop, board, phone, got toaster"),
        ({"cores": 0}, "cores: expected 1 or more, got 0"),
        (
            {"cache": Fact(value="8 MB", certainty="sure", source="a page")},
            f"cache: certainty: expected one of {', '.join(CERTAINTIES)}, got sure",
        ),
        (
            {"gpu": Fact(value="8 cores", certainty="verified", source=" ")},
            "gpu: source: expected where the figure comes from, got ' '",
        ),
        (
            {"bandwidth": Bandwidths(peak=bandwidth(102.4, source=""))},
            "bandwidth: peak: source: expected where the figure comes from, got ''",
        ),
        (
            {"bandwidth": peak_of(0.0), "memory": UNKNOWN},
            "bandwidth: peak: gigabytes_per_second: expected 0.01..10000, got 0.0",
        ),
        (
            {"bandwidth": peak_of(1e9), "memory": UNKNOWN},
            "bandwidth: peak: gigabytes_per_second: expected 0.01..10000, got 1000000000.0",
        ),
        (
            {"bandwidth": peak_of(float("nan")), "memory": UNKNOWN},
            "bandwidth: peak: gigabytes_per_second: expected 0.01..10000, got nan",
        ),
        (
            {"bandwidth": Bandwidths(peak=bandwidth(102.4), cpu=bandwidth(-3.0))},
            "bandwidth: cpu: gigabytes_per_second: expected 0.01..10000, got -3.0",
        ),
        (
            {"bandwidth": Bandwidths(peak=bandwidth(102.4), gpu=bandwidth(103.0))},
            "bandwidth: gpu: gigabytes_per_second: expected at most the peak, 102.4, got 103.0",
        ),
        (
            {"bandwidth": peak_of(204.8)},
            "bandwidth: peak: gigabytes_per_second: expected 102.4 within 5%, for 6400 megatransfers a second over "
            "128 bits, got 204.8 - correct the peak, memory.data_rate_megatransfers or memory.bus_bits",
        ),
        (
            {"memory": Memory(kind="LPDDR5", data_rate_megatransfers=0.0)},
            "memory: data_rate_megatransfers: expected 100..50000, got 0.0",
        ),
        ({"memory": Memory(kind="LPDDR5", bus_bits=-64)}, "memory: bus_bits: expected 8..8192, got -64"),
        (
            {"memory": Memory(kind="LPDDR5", gigabytes=(8.0, 0.0))},
            "memory: gigabytes[1]: expected 0.1..10000, got 0.0",
        ),
        ({"probe": probe(noise=-0.1)}, "probe: noise: expected 0 or more, got -0.1"),
        ({"probe": probe(step(), step(rows=0))}, "probe: steps[1]: rows: expected 1 or more, got 0"),
        ({"probe": probe(step(weight_bytes=0))}, "probe: steps[0]: weight_bytes: expected 1 or more, got 0"),
        (
            {"probe": probe(step(seconds_low=0.0))},
            "probe: steps[0]: expected 0 < seconds_low <= seconds <= seconds_high, got (0.0, 0.01, 0.011)",
        ),
        (
            {"probe": probe(step(seconds=0.02))},
            "probe: steps[0]: expected 0 < seconds_low <= seconds <= seconds_high, got (0.009, 0.02, 0.011)",
        ),
    ],
)
def test_impossible_figures_are_refused_with_their_key(changed, message):
    with pytest.raises(EdgedraftError) as error:
        profile(**changed)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("memory", "derived"),
    [
        (Memory(kind="LPDDR5", data_rate_megatransfers=6400, bus_bits=128), 102.4),
        (Memory(kind="LPDDR5", data_rate_megatransfers=6400), None),
        (Memory(kind="LPDDR5", bus_bits=128), None),
    ],
)
def test_the_derived_peak_is_data_rate_times_bus_width(memory, derived):
    assert memory.derived_gigabytes_per_second == derived


@given(st.floats(100, 20_000), st.sampled_from([16, 32, 64, 128, 256, 512]), st.floats(0.8, 1.25))
def test_a_peak_is_taken_exactly_when_it_is_near_what_the_memory_can_give(rate, bits, off):
    memory = Memory(kind="a", data_rate_megatransfers=rate, bus_bits=bits)
    value = off * rate * bits / 8000
    distance = abs(value * 8000 / (rate * bits) - 1)
    near = distance <= PEAK_TOLERANCE
    if not 0.5 <= value <= 10_000 or abs(distance - PEAK_TOLERANCE) < 1e-9:  # rounding decides on the very edge
        return
    if near:
        assert profile(memory=memory, bandwidth=peak_of(value)).bandwidth.peak.gigabytes_per_second == value
    else:
        with pytest.raises(EdgedraftError, match=r"^bandwidth: peak: gigabytes_per_second: expected .* within 5%"):
            profile(memory=memory, bandwidth=peak_of(value))


def test_a_memory_that_nobody_described_takes_any_peak():
    assert profile(memory=UNKNOWN, bandwidth=peak_of(33.3)).bandwidth.peak.gigabytes_per_second == 33.3
