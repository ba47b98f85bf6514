"""The device that a plan is for; one that is not here has the latency of its probe, or its processor's prior."""

from dataclasses import dataclass

from edgedraft.devices.latency import LatencyModel
from edgedraft.devices.machine import this_machine
from edgedraft.devices.priors.prior import USUAL_CORES, basis, latency_of, prior_basis, prior_latency
from edgedraft.devices.profile import DeviceProfile, Probe
from edgedraft.devices.registry import find_profile
from edgedraft.exporter.graph.providers import CPU, GPU, PROVIDERS, Provider, provider_named
from edgedraft.exporter.models.pair import AnyPair
from edgedraft.exporter.pipeline.limits import provider_on
from edgedraft.exporter.pipeline.requests import PlanRequest
from edgedraft.exporter.pipeline.step_cases import graph_of
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.kernel_names import PairKernels
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.planned_kernels import graphs_remark
from edgedraft.runtime.onnx.providers import available_providers

_UNPUBLISHED = {"wasm": "WebAssembly", "qnn": "NPUs that tell one from another"}
"""Providers without a prior: WebAssembly is far slower than native code on the same processor, and three published
speeds of NPUs, of three devices by two engines, are no class."""
_NEVER, _NOISY = "not measured there", "measured there but not to be trusted"
_REMEDIES = {
    _NEVER: "probe it there (edgedraft phone, with a bundle made for any provider), and name the file that comes back",
    _NOISY: "probe it again while nothing else runs there (edgedraft phone), and name the file that comes back",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LatencyForecast:
    """Pass times expected of one execution provider of a device, and the evidence for them in one or two sentences.

    ``latency`` has models under the name ``provider`` only. ``threads`` are those of the probe, else the device's
    cores, else those of most devices: never this machine's.
    """

    profile: DeviceProfile
    latency: LatencyModel
    provider: str
    threads: int
    basis: str


def forecast_latency(profile: DeviceProfile, provider: Provider) -> LatencyForecast:
    """Predict the pass times of ``provider`` on a device.

    A trusted probe goes before the prior of the processor's class. "gpu" means whichever provider of the GPU was
    probed. WebAssembly has no prior. Raises `EdgedraftError` where neither probe nor prior exists.
    """
    probe = profile.probe
    name = _probed_as(probe, provider) if probe is not None and probe.trusted else None
    if probe is not None and name is not None:
        return LatencyForecast(
            profile=profile,
            latency=_renamed(latency_of(profile), name, provider.name),
            provider=provider.name,
            threads=_threads(probe, name) if provider.kind == CPU else _cores(profile),
            basis=basis(profile, name),
        )
    if provider.name in _UNPUBLISHED:
        rule = f"{profile.name}: there are no published speeds of {_UNPUBLISHED[provider.name]} to plan by"
        status = _probe_status(profile, provider)
        raise EdgedraftError(rule, got=f"{provider.name} {status}", remedy=_REMEDIES[status])
    return LatencyForecast(
        profile=profile,
        latency=_renamed(prior_latency(profile), provider.kind, provider.name),
        provider=provider.name,
        threads=_cores(profile),
        basis=_basis_of_prior(profile, provider),
    )


def _probed_as(probe: Probe, provider: Provider) -> str | None:
    """Return the name that the provider has in the probe, None where it was not measured."""
    measured = {step.provider for step in probe.steps}
    gpus = [name for name, each in PROVIDERS.items() if each.kind == GPU]
    return next((name for name in (gpus if provider.name == GPU else [provider.name]) if name in measured), None)


def _cores(profile: DeviceProfile) -> int:
    return profile.cores or USUAL_CORES


def _threads(probe: Probe, name: str) -> int:
    return max(step.threads for step in probe.steps if step.provider == name)


def _renamed(latency: LatencyModel, name: str, new_name: str) -> LatencyModel:
    """Keep only the models of the provider ``name``, under ``new_name``; all models where it has none."""
    models = {(precision, new_name): model for (precision, where), model in latency.models.items() if where == name}
    # A latency without models is refused; with all of them, `LatencyModel.of` names what there is.
    return LatencyModel(device=latency.device, models=models or latency.models)


def _basis_of_prior(profile: DeviceProfile, provider: Provider) -> str:
    if provider.name == provider.kind:
        return prior_basis(profile, provider.kind)
    why = f"{provider.name} was {_probe_status(profile, provider)}, so its {provider.kind.upper()}'s prior stands in."
    return f"{prior_basis(profile, provider.kind)} {why}"


def _probe_status(profile: DeviceProfile, provider: Provider) -> str:
    probe = profile.probe
    measured = probe is not None and _probed_as(probe, provider) is not None
    return _NOISY if measured else _NEVER


def remote_device(request: PlanRequest) -> LatencyForecast | None:
    """Return the device that the request names; None plans for this machine."""
    if request.device is None:
        return None
    return forecast_latency(find_profile(str(request.device)), provider_named(request.provider))


def probe_remark(forecast: LatencyForecast, pair: AnyPair, planned: PairKernels) -> str | None:
    """Return one line if a probe of this machine timed other kernels than those that would run; else None."""
    probe = forecast.profile.probe
    measured = probe is not None and probe.trusted and forecast.provider == CPU
    if not measured or probe is None or probe.system != this_machine().name:
        return None
    graphs = (pair.target.graph, graph_of(pair.drafter))
    return graphs_remark(graphs, planned, CPU, "probe again (edgedraft devices probe)")


def chosen_provider(request: PlanRequest, device: LatencyForecast | None) -> Provider:
    """Return the provider that the request names, which must be here unless a device was named too."""
    here = sorted(available_providers())
    require(
        device is not None or request.provider in here,
        f"--provider without --device is this machine's, which has {', '.join(here)}",
        got=request.provider,
        remedy="name a device (edgedraft devices list), or install what adds the provider",
    )
    return provider_on(provider_named(request.provider), device.profile if device else None)
