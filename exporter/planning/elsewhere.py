"""Latency on a device that is not here: probed on the wanted provider, or the prior of its processor, told which."""

from dataclasses import dataclass

from edgedraft.devices.latency import LatencyModel
from edgedraft.devices.priors.prior import basis, latency_of, prior_basis, prior_latency
from edgedraft.devices.profile import DeviceProfile, Probe
from edgedraft.exporter.graph.providers import CPU, GPU, PROVIDERS, Provider
from edgedraft.runtime.base.errors import EdgedraftError

_UNPUBLISHED = {"wasm": "WebAssembly"}
"""Providers that no published speed is of, and that are far slower than native code on the same processor."""
_NEVER, _NOISY = "not measured there", "measured there but not to be trusted"
_REMEDIES = {
    _NEVER: "probe it there (edgedraft phone, with a bundle made for any provider), and name the file that comes back",
    _NOISY: "probe it again while nothing else runs there (edgedraft phone), and name the file that comes back",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Foreseen:
    """Latencies under the wanted provider's name, what they rest on in one or two sentences, and the threads.

    None leaves the threads to the device's number of cores.
    """

    latency: LatencyModel
    basis: str
    threads: int | None = None


def foreseen(profile: DeviceProfile, provider: Provider) -> Foreseen:
    """What passes on the device's ``provider`` probably take.

    "gpu" is whichever provider of the GPU was probed. A trusted probe goes before the prior of the processor's class;
    for WebAssembly there is no prior, and a device that was not probed with it is refused.
    """
    probe = profile.probe
    if probe is not None and probe.trusted:
        name = _probed_as(probe, provider)
        if name is not None:
            latency = _renamed(latency_of(profile), name, provider.name)
            threads = _threads(probe, name) if provider.kind == CPU else None
            return Foreseen(latency=latency, basis=basis(profile, name), threads=threads)
    if provider.name in _UNPUBLISHED:
        rule = f"{profile.name}: there are no published speeds of {_UNPUBLISHED[provider.name]} to plan by"
        seen = _seen(profile, provider)
        raise EdgedraftError(rule, got=f"{provider.name} {seen}", remedy=_REMEDIES[seen])
    latency = _renamed(prior_latency(profile), provider.kind, provider.name)
    return Foreseen(latency=latency, basis=_told(profile, provider))


def _probed_as(probe: Probe, provider: Provider) -> str | None:
    """The name that the provider has in the probe, None where it was not measured."""
    measured = {step.provider for step in probe.steps}
    gpus = [name for name, each in PROVIDERS.items() if each.kind == GPU]
    return next((name for name in (gpus if provider.name == GPU else [provider.name]) if name in measured), None)


def _threads(probe: Probe, name: str) -> int:
    return max(step.threads for step in probe.steps if step.provider == name)


def _renamed(latency: LatencyModel, name: str, wanted: str) -> LatencyModel:
    """Only the models of the provider ``name``, as those of ``wanted``; all as they are where it has none."""
    models = {(precision, wanted): model for (precision, where), model in latency.models.items() if where == name}
    return LatencyModel(device=latency.device, models=models or latency.models)


def _told(profile: DeviceProfile, provider: Provider) -> str:
    if provider.name == provider.kind:
        return prior_basis(profile, provider.kind)
    why = f"{provider.name} was {_seen(profile, provider)}, so its {provider.kind.upper()}'s prior stands in."
    return f"{prior_basis(profile, provider.kind)} {why}"


def _seen(profile: DeviceProfile, provider: Provider) -> str:
    probe = profile.probe
    seen = probe is not None and _probed_as(probe, provider) is not None
    return _NOISY if seen else _NEVER
