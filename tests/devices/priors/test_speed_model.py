"""The law of the speed model: it is the formula, its terms belong to the classes that own them."""

import math

import pytest

from edgedraft.devices.priors.speed_model import (
    Belief,
    Classes,
    PassSeconds,
    SpeedCase,
    SpeedModel,
    assumptions_of,
    effects_of,
)

BELIEFS = {
    "stream any": Belief(mean=-math.log(0.5), sigma=1.0),
    "stream hardware": Belief(sigma=1.0),
    "overhead any": Belief(mean=math.log(0.002), sigma=1.0),
    "compute any": Belief(mean=math.log(1e-10), sigma=1.0),
}


def case(hardware=None, threads=1):
    return SpeedCase(
        classes=Classes(device="d", hardware=hardware),
        streamed_bytes=3e9,
        parameters=8e8,
        threads=threads,
        peak_bytes_per_second=100e9,
    )


def test_streaming_and_computing_overlap_and_the_overhead_does_not():
    parts = PassSeconds(overhead=0.001, streaming=0.03, computing=0.04)
    assert parts.seconds == pytest.approx(0.051)


def test_the_formula_by_hand():
    model = SpeedModel(beliefs=BELIEFS, effects={("stream hardware", "twice"): math.log(2.0)})
    parts = model.parts(case())
    assert (parts.overhead, parts.streaming, parts.computing) == pytest.approx((0.002, 0.06, 0.08))
    assert model.parts(case("twice")).streaming == pytest.approx(0.12)
    assert model.parts(case("nobody")).streaming == pytest.approx(0.06)
    assert model.parts(case(threads=4)).computing == pytest.approx(0.02)


def test_without_a_belief_in_computing_there_is_none():
    beliefs = {kind: belief for kind, belief in BELIEFS.items() if kind != "compute any"}
    assert SpeedModel(beliefs=beliefs, effects={}).parts(case()).computing == 0.0


def test_a_class_of_none_has_no_effect():
    assert effects_of("stream", Classes(device="d"), BELIEFS) == [("stream any", "")]
    assert effects_of("stream", Classes(device="d", hardware="h"), BELIEFS)[1:] == [("stream hardware", "h")]


def test_only_the_cpu_computes():
    assert "compute any" in assumptions_of("cpu").beliefs
    assert not any(kind.startswith("compute") for kind in assumptions_of("gpu").beliefs)
