"""Latency of a device that is not this machine: from its own probe, or from the prior of its processor."""

from dataclasses import dataclass

from edgedraft.devices.latency import LatencyModel
from edgedraft.devices.priors.prior import basis, latency_of, prior_basis, prior_latency
from edgedraft.devices.profile import DeviceProfile, Probe
from edgedraft.exporter.graph.providers import CPU, GPU, PROVIDERS, Provider
from edgedraft.runtime.base.errors import EdgedraftError

_UNPUBLISHED = {"wasm": "WebAssembly"}
"""Providers without published speeds, which are far slower than native code on the same processor."""
_NEVER, _NOISY = "not measured there", "measured there but not to be trusted"
_REMEDIES = {
    _NEVER: "probe it there (edgedraft phone, with a bundle made for any provider), and name the file that comes back",
    _NOISY: "probe it again while nothing else runs there (edgedraft phone), and name the file that comes back",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LatencyForecast:
    """Pass times expected of one execution provider of a device, and the evidence for them in one or two sentences.

    ``latency`` has models under the name ``provider`` only. ``threads`` are those of
    the probe, else the device's cores; None where nobody says how many.
    """

    latency: LatencyModel
    provider: str
    threads: int | None
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
            latency=_renamed(latency_of(profile), name, provider.name),
            provider=provider.name,
            threads=_threads(probe, name) if provider.kind == CPU else profile.cores,
            basis=basis(profile, name),
        )
    if provider.name in _UNPUBLISHED:
        rule = f"{profile.name}: there are no published speeds of {_UNPUBLISHED[provider.name]} to plan by"
        seen = _seen(profile, provider)
        raise EdgedraftError(rule, got=f"{provider.name} {seen}", remedy=_REMEDIES[seen])
    return LatencyForecast(
        latency=_renamed(prior_latency(profile), provider.kind, provider.name),
        provider=provider.name,
        threads=profile.cores,
        basis=_basis_of_prior(profile, provider),
    )


def _probed_as(probe: Probe, provider: Provider) -> str | None:
    """Return the name that the provider has in the probe, None where it was not measured."""
    measured = {step.provider for step in probe.steps}
    gpus = [name for name, each in PROVIDERS.items() if each.kind == GPU]
    return next((name for name in (gpus if provider.name == GPU else [provider.name]) if name in measured), None)


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
    why = f"{provider.name} was {_seen(profile, provider)}, so its {provider.kind.upper()}'s prior stands in."
    return f"{prior_basis(profile, provider.kind)} {why}"


def _seen(profile: DeviceProfile, provider: Provider) -> str:
    probe = profile.probe
    seen = probe is not None and _probed_as(probe, provider) is not None
    return _NOISY if seen else _NEVER
