"""Timed passes, every sample kept, and the `Probe` they sum up to: the same for this machine and for a phone."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.devices.probing.noise import noise_of
from edgedraft.devices.profile import Probe, ProbedBandwidth, ProbedOverhead, ProbedStep
from edgedraft.runtime.core.statistics import median_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedStep:
    """Seconds, in the order taken, of passes over ``rows`` rows through ``layers`` products ``width`` wide."""

    provider: str
    precision: str
    threads: int
    width: int
    layers: int
    weight_bytes: int
    rows: int
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
    found = noise_of([step.seconds for step in steps])
    return Probe(
        date=about.date,
        system=about.system,
        onnxruntime=about.onnxruntime,
        noise=found.noise,
        trusted=found.trusted,
        steps=tuple(map(_step, steps)),
        drift=found.drift,
        rounds=found.rounds,
        seconds=about.seconds,
        bandwidths=bandwidths,
        overheads=tuple(map(_overhead, overheads)),
        skipped=about.skipped,
    )


def _step(step: TimedStep) -> ProbedStep:
    around = median_interval(step.seconds)
    return ProbedStep(
        provider=step.provider,
        precision=step.precision,
        threads=step.threads,
        width=step.width,
        layers=step.layers,
        weight_bytes=step.weight_bytes,
        rows=step.rows,
        seconds=around.value,
        seconds_low=around.low,
        seconds_high=around.high,
    )


def _overhead(overhead: TimedOverhead) -> ProbedOverhead:
    around = median_interval(overhead.seconds)
    return ProbedOverhead(
        provider=overhead.provider, seconds=around.value, seconds_low=around.low, seconds_high=around.high
    )
