"""Latencies elsewhere: measured where the probe timed the provider, else its processor's prior, if it has any."""

import dataclasses

import pytest

from edgedraft.devices.priors.prior import USUAL_CORES, latency_of, prior_basis, prior_latency
from edgedraft.devices.profile import DeviceProfile, Probe, ProbedStep
from edgedraft.devices.registry import find_profile
from edgedraft.exporter.graph.providers import PROVIDERS, provider_named
from edgedraft.exporter.pipeline.remote_device import forecast_latency
from edgedraft.runtime.base.errors import EdgedraftError

PHONE = find_profile("sd-8-gen-3")


def probed(*providers: str, threads: int = 1, trusted: bool = True) -> DeviceProfile:
    """The phone with a probe that timed int4 on each of the providers."""
    facts = {"precision": "int4", "width": 512, "layers": 2, "weight_bytes": 10**6, "threads": threads}
    times = {"seconds": 0.01, "seconds_low": 0.009, "seconds_high": 0.011}
    steps = [ProbedStep(provider=name, rows=rows, **facts, **times) for name in providers for rows in (1, 2)]
    told = {"date": "2026-11-01", "system": "my phone", "onnxruntime": "1.30", "noise": 0.02, "trusted": trusted}
    return dataclasses.replace(PHONE, probe=Probe(steps=tuple(steps), **told))


def test_a_measured_provider_is_taken_as_measured():
    profile = probed("webgpu", "wasm", threads=4)
    for name, threads in (("webgpu", PHONE.cores), ("wasm", 4)):
        found = forecast_latency(profile, PROVIDERS[name])
        assert dict(found.latency.models) == {("int4", name): latency_of(profile).of("int4", name)}
        assert found.basis == "Measured on my phone on 2026-11-01: passes spread by 2%."
        assert (found.provider, found.threads) == (name, threads)


def test_the_gpu_is_whichever_provider_of_it_was_measured():
    profile = probed("webgpu", "wasm")
    found = forecast_latency(profile, PROVIDERS["gpu"]).latency
    assert found.of("int4", "gpu") == latency_of(profile).of("int4", "webgpu")


@pytest.mark.parametrize(("name", "kind"), [("webgpu", "gpu"), ("coreml", "gpu")])
@pytest.mark.parametrize("probe", ["none", "of another provider", "not trusted"])
def test_what_was_not_measured_is_the_processors_prior_and_that_is_told(name, kind, probe):
    profiles = {"none": PHONE, "of another provider": probed("cuda"), "not trusted": probed(name, trusted=False)}
    profile = profiles[probe]
    found = forecast_latency(profile, PROVIDERS[name])
    assert found.latency.of("int4", name) == prior_latency(profile).of("int4", kind)
    assert {where for _, where in found.latency.models} == {name}
    seen = "measured there but not to be trusted" if probe == "not trusted" else "not measured there"
    assert found.basis == f"{prior_basis(profile, kind)} {name} was {seen}, so its {kind.upper()}'s prior stands in."
    assert found.threads == PHONE.cores


def test_an_npu_that_was_not_probed_is_refused_by_name():
    with pytest.raises(EdgedraftError, match=r"no published speeds of NPUs .* to plan by, got qnn not measured there"):
        forecast_latency(PHONE, provider_named("qnn"))
    assert forecast_latency(probed("qnn"), provider_named("qnn")).basis.startswith("Measured on my phone")


def test_a_device_whose_cores_nobody_knows_gets_no_count_of_this_machine(monkeypatch):
    monkeypatch.setattr("edgedraft.devices.machine.usable_cores", lambda: 77)
    unknown = dataclasses.replace(PHONE, cores=None)
    for name in ("cpu", "gpu"):
        assert forecast_latency(unknown, provider_named(name)).threads == USUAL_CORES == 4


PROBE_IT = "probe it there (edgedraft phone, with a bundle made for any provider)"
PROBE_AGAIN = "probe it again while nothing else runs there (edgedraft phone)"


@pytest.mark.parametrize(
    ("profile", "seen", "remedy"),
    [
        (PHONE, "not measured there", PROBE_IT),
        (probed("webgpu"), "not measured there", PROBE_IT),
        (probed("wasm", trusted=False), "measured there but not to be trusted", PROBE_AGAIN),
    ],
)
def test_webassembly_that_was_not_measured_is_not_predicted_from_native_code(profile, seen, remedy):
    with pytest.raises(EdgedraftError) as error:
        forecast_latency(profile, PROVIDERS["wasm"])
    assert str(error.value) == (
        f"{profile.name}: there are no published speeds of WebAssembly to plan by, got wasm {seen} - "
        f"{remedy}, and name the file that comes back"
    )


def test_the_processors_themselves_need_no_stand_in():
    assert forecast_latency(PHONE, PROVIDERS["cpu"]).basis == prior_basis(PHONE, "cpu")
    assert forecast_latency(PHONE, PROVIDERS["gpu"]).basis == prior_basis(PHONE, "gpu")


def test_a_device_without_a_gpu_has_no_latency_there():
    board = find_profile("rpi5")
    with pytest.raises(EdgedraftError, match=r"got int4 on webgpu$"):
        forecast_latency(board, PROVIDERS["webgpu"]).latency.of("int4", "webgpu")
