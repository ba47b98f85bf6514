"""The device that a plan is for: this machine, or another one by its profile."""

from dataclasses import dataclass

from edgedraft.devices.profile import DeviceProfile
from edgedraft.devices.registry import find_profile
from edgedraft.exporter.graph.providers import Provider, provider_named
from edgedraft.exporter.pipeline.limits import provider_on
from edgedraft.exporter.pipeline.remote_device import LatencyForecast, forecast_latency
from edgedraft.exporter.pipeline.requests import PlanRequest
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.providers import available_providers


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteDevice:
    """A device that is not here, and what passes on the asked provider probably take there."""

    profile: DeviceProfile
    forecast: LatencyForecast


def remote_device(request: PlanRequest) -> RemoteDevice | None:
    """Return the device that the request names; None plans for this machine."""
    if request.device is None:
        return None
    profile = find_profile(str(request.device))
    return RemoteDevice(profile=profile, forecast=forecast_latency(profile, provider_named(request.provider)))


def chosen_provider(request: PlanRequest, device: RemoteDevice | None) -> Provider:
    """Return the provider that the request names, which must be here unless a device was named too."""
    here = sorted(available_providers())
    require(
        device is not None or request.provider in here,
        f"--provider without --device is this machine's, which has {', '.join(here)}",
        got=request.provider,
        remedy="name a device (edgedraft devices list), or install what adds the provider",
    )
    return provider_on(provider_named(request.provider), device.profile if device else None)
