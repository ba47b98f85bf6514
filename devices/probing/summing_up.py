"""From the probe's times to its record, and from that to a device profile."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.devices.machine import Machine
from edgedraft.devices.probing.cases import OVERHEAD, STEP, STREAM, Case
from edgedraft.devices.probing.noise import noise_of, verdict
from edgedraft.devices.profile import (
    MEASURED,
    Bandwidth,
    Bandwidths,
    DeviceProfile,
    Fact,
    Memory,
    Probe,
    ProbedBandwidth,
    ProbedOverhead,
    ProbedStep,
)
from edgedraft.runtime.records import require
from edgedraft.runtime.session import CPU, onnxruntime_version
from edgedraft.runtime.statistics import spread

_GPUS = {"cuda", "tensorrt", "nvtensorrtrtx", "rocm", "migraphx", "dml", "webgpu", "js", "coreml"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """When and on what machine a probe ran, how long it took, and what could not be probed."""

    machine: Machine
    date: str
    seconds: float
    skipped: tuple[str, ...]


def summary(cases: Sequence[Case], about: Circumstances) -> Probe:
    """Medians and quartiles of every case, and how far they can be trusted."""
    steps = [case for case in cases if case.kind == STEP]
    require(bool(steps), "probe: no graph could be opened", got="; ".join(about.skipped) or None)
    slow = next((case for case in cases if not case.seconds), None)
    remedy = "give the probe more seconds, or fewer precisions"
    require(slow is None, f"probe: the time was up before the first round, after {about.seconds:.0f} s", remedy=remedy)
    found = noise_of([case.seconds for case in steps])
    return Probe(
        date=about.date,
        system=about.machine.name,
        onnxruntime=onnxruntime_version,
        noise=found.noise,
        trusted=found.trusted,
        steps=tuple(_step(case) for case in steps),
        drift=found.drift,
        rounds=found.rounds,
        seconds=about.seconds,
        bandwidths=_bandwidths([case for case in cases if case.kind == STREAM]),
        overheads=tuple(_overhead(case) for case in cases if case.kind == OVERHEAD),
        skipped=about.skipped,
    )


def _step(case: Case) -> ProbedStep:
    around = spread(case.seconds)
    return ProbedStep(
        provider=case.job.provider,
        precision=case.spec.precision,
        threads=case.job.threads,
        width=case.spec.width,
        layers=case.opened.layers,
        weight_bytes=case.opened.weight_bytes,
        rows=case.request.rows,
        seconds=around.median,
        seconds_low=around.low,
        seconds_high=around.high,
    )


def _overhead(case: Case) -> ProbedOverhead:
    around = spread(case.seconds)
    return ProbedOverhead(
        provider=case.job.provider, seconds=around.median, seconds_low=around.low, seconds_high=around.high
    )


def _bandwidths(streams: Sequence[Case]) -> tuple[ProbedBandwidth, ...]:
    """For each number of threads the fastest way and place of reading."""
    best: dict[int, ProbedBandwidth] = {}
    for case in streams:
        around = spread([case.opened.weight_bytes / seconds / 1e9 for seconds in case.seconds])
        found = ProbedBandwidth(
            threads=case.job.threads, gigabytes_per_second=around.median, low=around.low, high=around.high
        )
        known = best.get(found.threads)
        if known is None or known.gigabytes_per_second < found.gigabytes_per_second:
            best[found.threads] = found
    return tuple(best[threads] for threads in sorted(best))


def profile_of(probe: Probe, machine: Machine, kind: str) -> DeviceProfile:
    """This machine's profile. The memory's peak is taken to be the best that was reached."""
    source = f"edgedraft devices probe, {probe.date}, onnxruntime {probe.onnxruntime}"
    by_threads = [each.gigabytes_per_second for each in probe.bandwidths]
    cpu = max([*by_threads, *(_rate(step) for step in probe.steps if step.provider == CPU)], default=None)
    gpu = max((_rate(step) for step in probe.steps if step.provider in _GPUS), default=None)
    other = max((_rate(step) for step in probe.steps), default=0.0)

    def bandwidth(rate: float) -> Bandwidth:
        return Bandwidth(gigabytes_per_second=round(rate, 2), certainty=MEASURED, source=source)

    features = ", ".join(machine.features)
    return DeviceProfile(
        id=_identifier(machine.processor),
        name=machine.processor,
        kind=kind,
        soc=machine.processor,
        memory=Memory(kind="unknown", gigabytes=(round(machine.memory_bytes / 2**30, 1),)),
        bandwidth=Bandwidths(
            peak=bandwidth(max(cpu or 0.0, gpu or 0.0, other)),
            cpu=None if cpu is None else bandwidth(cpu),
            gpu=None if gpu is None else bandwidth(gpu),
        ),
        cores=machine.cores,
        cpu=Fact(value=features, certainty=MEASURED, source=source) if features else None,
        notes=verdict(probe),
        probe=probe,
    )


def _rate(step: ProbedStep) -> float:
    """Gigabytes of weights a second, of passes over one row; several rows measure arithmetic, not memory."""
    return step.weight_bytes / step.seconds / 1e9 if step.rows == 1 else 0.0


def _identifier(name: str) -> str:
    """Lower case, words joined by hyphens."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split()) or "this-machine"
