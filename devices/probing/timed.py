"""Timed passes, every sample kept, and the `Probe` they sum up to: the same for this machine and for a phone."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from edgedraft.devices.probing.noise import noise_of
from edgedraft.devices.profile import ChainPass, Probe, ProbedBandwidth, ProbedOverhead, ProbedStep
from edgedraft.runtime.core.statistics import median_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedStep(ChainPass):
    """Seconds of passes, in the order taken."""

    seconds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedOverhead:
    """Seconds, in the order taken, of passes that have next to nothing to do."""

    provider: str
    seconds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """When, on what and with which runtime a probe ran, how long it took, and what could not be probed."""

    system: str
    onnxruntime: str
    date: str
    seconds: float
    skipped: tuple[str, ...]


def probe_of(
    steps: Sequence[TimedStep],
    overheads: Sequence[TimedOverhead],
    about: Circumstances,
    bandwidths: tuple[ProbedBandwidth, ...] = (),
) -> Probe:
    """Medians and quartiles of everything, and how far they can be trusted."""
    noise = noise_of([step.seconds for step in steps])
    return Probe(
        date=about.date,
        system=about.system,
        onnxruntime=about.onnxruntime,
        noise=noise.noise,
        trusted=noise.trusted,
        steps=tuple(map(_step, steps)),
        drift=noise.drift,
        rounds=noise.rounds,
        seconds=about.seconds,
        bandwidths=bandwidths,
        overheads=tuple(map(_overhead, overheads)),
        skipped=about.skipped,
    )


def _step(step: TimedStep) -> ProbedStep:
    around = median_interval(step.seconds)
    shared = {field.name: getattr(step, field.name) for field in fields(ChainPass)}
    return ProbedStep(**shared, seconds=around.value, seconds_low=around.low, seconds_high=around.high)


def _overhead(overhead: TimedOverhead) -> ProbedOverhead:
    around = median_interval(overhead.seconds)
    return ProbedOverhead(
        provider=overhead.provider, seconds=around.value, seconds_low=around.low, seconds_high=around.high
    )
