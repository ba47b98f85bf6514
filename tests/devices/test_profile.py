"""A device profile survives its JSON file, and each role has a latency model of its own."""

import json

import pytest

from edgedraft.devices.machine import Machine
from edgedraft.devices.profile import DeviceProfile
from edgedraft.devices.steps import DRAFTER, TARGET, StepTime
from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.records import from_plain, to_plain


def step(role: str, weight_bytes: int, rows: int, seconds: float) -> StepTime:
    return StepTime(
        role=role,
        weight_bytes=weight_bytes,
        rows=rows,
        seconds=seconds,
        seconds_low=0.9 * seconds,
        seconds_high=1.1 * seconds,
    )


@pytest.fixture
def profile() -> DeviceProfile:
    machine = Machine(
        processor="Some CPU", cores=4, memory_bytes=16 * 2**30, system="Linux x86_64", features=("avx2", "avx_vnni")
    )
    steps = (
        step(TARGET, 10**9, 1, 0.052),
        step(TARGET, 10**9, 4, 0.104),
        step(DRAFTER, 10**8, 1, 0.007),
        step(DRAFTER, 2 * 10**8, 1, 0.012),
    )
    return DeviceProfile(machine=machine, threads=3, onnxruntime="1.32.0", steps=steps)


def test_a_profile_survives_its_file(profile):
    assert from_plain(DeviceProfile, json.loads(json.dumps(to_plain(profile))), "profile.json") == profile


def test_whole_seconds_in_a_file_are_still_seconds(profile):
    plain = to_plain(profile)
    plain["steps"][0]["seconds"] = 1
    found = from_plain(DeviceProfile, plain, "profile.json").steps[0].seconds
    assert (found, type(found)) == (1.0, float)


def test_a_broken_file_is_told_with_its_key(profile):
    plain = to_plain(profile)
    plain["steps"][2]["rows"] = "one"
    with pytest.raises(EdgedraftError) as error:
        from_plain(DeviceProfile, plain, "profile.json")
    assert str(error.value) == "profile.json: steps[2]: rows: expected int, got 'one'"


def test_each_role_has_its_own_latency(profile):
    target, drafter = profile.latency(TARGET), profile.latency(DRAFTER)
    assert (target.rows, drafter.rows) == ((1, 4), (1,))
    assert target.overhead_seconds == 0
    assert target.verification_cost(4) == pytest.approx(2.0)
    assert drafter.overhead_seconds == pytest.approx(0.002)
    assert drafter.seconds(3 * 10**8, 1) == pytest.approx(0.017)


def test_a_role_never_timed_is_refused(profile):
    with pytest.raises(EdgedraftError, match=r"^latency model: expected a one-row step, got \[\]$"):
        profile.latency("referee")
