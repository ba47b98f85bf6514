"""Latency priors: the likely latency of a device that was never measured, from the published speeds of its class."""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from edgedraft.devices.latency import Kind, LatencyModel, StepModel
from edgedraft.devices.priors.families import GpuClass, family_of
from edgedraft.devices.priors.leave_one_out import LeaveOneOut, SpeedSpread, by_backend
from edgedraft.devices.priors.published import CPU, GPU, shipped_speeds
from edgedraft.devices.priors.speed_fitting import BandwidthTest, bandwidth_tests, fit_speeds
from edgedraft.devices.priors.speed_model import Classes, SpeedCase, SpeedModel
from edgedraft.devices.priors.verification import shipped_verification
from edgedraft.devices.profile import CONFLICT, ESTIMATE, UNVERIFIED, DeviceProfile
from edgedraft.runtime.base.kernel_names import NOT_RECORDED, shown_kernels

_PACKINGS = {
    "int4": "4-bit",
    "int4-block32": "4-bit",
    "int8": "8-bit",
    "int8-dynamic": "8-bit",
    "fp32": "16-bit",
}
"""The published packing nearest to each precision; like 16-bit, fp32 needs no unpacking."""
PRECISIONS = tuple(_PACKINGS)
USUAL_CORES = 4
"""As many cores decode best together on a device whose profile does not say."""
_UNSURE_PEAK_SIGMA = 0.12
"""Of the logarithm of a peak bandwidth that is not verified: 89.6 for 119.5 GB/s is a usual slip."""
_LAST_ROWS = 17


def latency_of(profile: DeviceProfile) -> LatencyModel:
    """Return the model fitted to the profile's own measurements where they can be trusted, else the prior."""
    if profile.probe is None or not profile.probe.trusted:
        return prior_latency(profile)
    from edgedraft.devices.fitting import fit_probe

    return fit_probe(profile.probe)


def prior_latency(profile: DeviceProfile) -> LatencyModel:
    """Return the prior of a device that was never measured, for every precision on its CPU and its GPU.

    ``device_sigma`` holds the spread between devices of a class, and what an unverified peak adds. The published
    engines are not onnxruntime, so ``own_sigma`` holds, beside the scatter of rows, the spread between engines on one
    processor.
    """
    providers = (CPU, GPU) if family_of(profile).gpu else (CPU,)
    models: dict[Kind, StepModel] = {}
    for provider in providers:
        ground = _ground(profile, provider)
        models |= {(precision, provider): _step_model(profile, ground, precision) for precision in PRECISIONS}
    return LatencyModel(device=profile.name, models=models)


def basis(profile: DeviceProfile, provider: str) -> str:
    """Return one sentence about the data behind `latency_of`."""
    probe = profile.probe
    if probe is not None and probe.trusted:
        kernels = ", ".join(
            sorted({step.kernels for step in probe.steps if step.provider == provider} - {NOT_RECORDED})
        )
        timed = f" with {shown_kernels(kernels)}" if kernels else ""
        return f"Measured on {probe.system} on {probe.date}{timed}: passes spread by {probe.noise:.0%}."
    noisy = "" if probe is None else f"Its probe is not trusted: passes spread by {probe.noise:.0%}. "
    return noisy + prior_basis(profile, provider)


def prior_basis(profile: DeviceProfile, provider: str) -> str:
    """Return one sentence about the data behind the prior and the width of its interval."""
    ground = _ground(profile, provider)
    spread = ground.spread
    step = _step_model(profile, ground, "int4")
    reach = step.estimate(1e9, 1)
    ends = f"{reach.low / reach.value:.2f} to {reach.high / reach.value:.2f}"
    return (
        f"A prior, not a measurement: {_counted(spread)} ({ground.name}); "
        f"80 % of devices should take {ends} times the predicted time of a step."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ground:
    """The basis of a provider's prior: the class's fit, its spread, and the spread between engines."""

    provider: str
    name: str
    hardware: str | None
    software: str | None
    model: SpeedModel
    spread: SpeedSpread
    engine_sigma: float


@functools.cache
def _leave_one_out(backend: str) -> LeaveOneOut:
    return by_backend(shipped_speeds(), (backend,))[backend]


def _ground(profile: DeviceProfile, provider: str) -> _Ground:
    family, rest = family_of(profile), _leave_one_out(provider)
    gpu = family.gpu if provider == GPU else None
    hardware = gpu.hardware if gpu else family.cpu
    return _Ground(
        provider=provider,
        name=_class_name(gpu),
        hardware=hardware,
        software=gpu.software if gpu else None,
        model=_fit(rest, _bandwidth_test(profile, provider, hardware)),
        spread=_spread(provider, _class_name(gpu) if gpu else None),
        engine_sigma=_engine_sigma(),
    )


def _class_name(gpu: GpuClass | None) -> str:
    """Return the class as `PublishedSpeed.name` calls it; on a CPU all engines together."""
    return f"GPU {gpu.hardware or 'of other makers'} {gpu.software}" if gpu else "CPU, all engines"


@functools.cache
def _spread(provider: str, name: str | None) -> SpeedSpread:
    """Return the class's spread. A class without rows is as unsure as the class that the others predict worst."""
    rest = _leave_one_out(provider)
    spread = rest.spread(name)
    if spread.devices:
        return spread
    worst = max((rest.spread(known) for known in {speed.name for speed in rest.speeds}), key=lambda s: s.log_reach)
    return replace(worst, rows=0, devices=0)


def _bandwidth_test(profile: DeviceProfile, provider: str, hardware: str | None) -> BandwidthTest | None:
    """Return the share of the peak that this provider reaches by the profile; None where it does not say."""
    figure = profile.bandwidth.cpu if provider == CPU else profile.bandwidth.gpu
    if figure is None:
        return None
    share = figure.gigabytes_per_second / profile.bandwidth.peak.gigabytes_per_second
    return BandwidthTest(device=profile.id, hardware=hardware, share=share)


@functools.lru_cache(maxsize=256)
def _fit(rest: LeaveOneOut, test: BandwidthTest | None) -> SpeedModel:
    """Return the fit of all rows, with the profile's bandwidth test in place of the published one of its device."""
    others = [known for known in bandwidth_tests(rest.speeds) if test is None or known.device != test.device]
    return fit_speeds(rest.speeds, [*others, *([test] if test else [])])


@functools.cache
def _engine_sigma() -> float:
    """Return the standard deviation of the logarithm of what published CPU engines take to unpack and multiply."""
    effects = _fit(_leave_one_out(CPU), None).effects
    engines = [value for (kind, _), value in effects.items() if kind == "compute software"]
    return float(np.std(engines, ddof=1))


def _step_model(profile: DeviceProfile, ground: _Ground, precision: str) -> StepModel:
    table = shipped_verification()
    parts = ground.model.parts(_case(profile, ground, precision, table.bytes_per_weight[precision]))
    cost = table.of(ground.provider, ground.hardware, precision)
    unsure = profile.bandwidth.peak.certainty in (UNVERIFIED, ESTIMATE, CONFLICT)
    return StepModel(
        overhead_seconds=parts.overhead,
        seconds_per_byte=math.hypot(parts.streaming, parts.computing),
        rows=(1, _LAST_ROWS),
        row_factors=(1.0, 1 + cost.slope * (_LAST_ROWS - 1)),
        device_sigma=math.hypot(ground.spread.device_sigma, _UNSURE_PEAK_SIGMA * unsure),
        own_sigma=math.hypot(ground.spread.own_sigma, ground.engine_sigma),
        growth_sigma=cost.sigma,
    )


def _case(profile: DeviceProfile, ground: _Ground, precision: str, bytes_per_weight: float) -> SpeedCase:
    """One byte of weights in ``precision``, on all the cores that decode best together."""
    return SpeedCase(
        classes=Classes(
            device=profile.id,
            hardware=ground.hardware,
            software=ground.software,
            packing=_PACKINGS[precision],
        ),
        streamed_bytes=1.0,
        parameters=1.0 / bytes_per_weight,
        threads=profile.cores or USUAL_CORES,
        peak_bytes_per_second=profile.bandwidth.peak.gigabytes_per_second * 1e9,
    )


def _counted(spread: SpeedSpread) -> str:
    if not spread.devices:
        return "no published speeds"
    return f"{spread.rows} published speeds of {spread.devices} device{'s' * (spread.devices != 1)}"
