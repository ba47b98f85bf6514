"""Summarize timed cases as a probe, and make a device profile of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.devices.machine import Machine
from edgedraft.devices.probing.cases import OVERHEAD, STEP, STREAM, Case
from edgedraft.devices.probing.noise import verdict
from edgedraft.devices.probing.timed import Circumstances, TimedOverhead, TimedStep, probe_of
from edgedraft.devices.profile import (
    MEASURED,
    Bandwidth,
    Bandwidths,
    DeviceProfile,
    Fact,
    Memory,
    Probe,
    ProbedBandwidth,
    ProbedStep,
)
from edgedraft.runtime.base.provider_names import CPU, WASM
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.statistics import median_interval

_CPUS = {CPU, WASM}
_GPUS = {"cuda", "tensorrt", "nvtensorrtrtx", "rocm", "migraphx", "dml", "webgpu", "js", "coreml"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Whose profile a probe makes: ``cpu`` and ``gpu`` are what is known of them in words, ``source`` says by whom."""

    name: str
    kind: str
    cores: int
    gigabytes: float | None
    source: str
    cpu: str = ""
    gpu: str = ""


def machine_owner(machine: Machine, kind: str) -> Owner:
    """Describe this machine as the owner of a profile."""
    return Owner(
        name=machine.processor,
        kind=kind,
        cores=machine.cores,
        gigabytes=round(machine.memory_bytes / 2**30, 1),
        source="edgedraft devices probe",
        cpu=", ".join(machine.features),
    )


def summary(cases: Sequence[Case], about: Circumstances) -> Probe:
    """Return medians and quartiles of every case, and whether they can be trusted."""
    steps = [case for case in cases if case.kind == STEP]
    require(bool(steps), "probe: no graph could be opened", got="; ".join(about.skipped) or None)
    slow = next((case for case in cases if not case.seconds), None)
    remedy = "give the probe more seconds, or fewer precisions"
    require(slow is None, f"probe: the time was up before the first round, after {about.seconds:.0f} s", remedy=remedy)
    overheads = [
        TimedOverhead(provider=case.job.provider, seconds=tuple(case.seconds))
        for case in cases
        if case.kind == OVERHEAD
    ]
    bandwidths = _bandwidths([case for case in cases if case.kind == STREAM])
    return probe_of([_step(case) for case in steps], overheads, about, bandwidths)


def _step(case: Case) -> TimedStep:
    return TimedStep(
        provider=case.job.provider,
        precision=case.spec.precision,
        threads=case.job.threads,
        width=case.spec.width,
        layers=case.opened.layers,
        weight_bytes=case.opened.weight_bytes,
        rows=case.request.rows,
        kernels=case.opened.kernels,
        seconds=tuple(case.seconds),
    )


def _bandwidths(streams: Sequence[Case]) -> tuple[ProbedBandwidth, ...]:
    """For each number of threads the fastest way and place of reading."""
    best: dict[int, ProbedBandwidth] = {}
    for case in streams:
        around = median_interval([case.opened.weight_bytes / seconds / 1e9 for seconds in case.seconds])
        reading = ProbedBandwidth(
            threads=case.job.threads, gigabytes_per_second=around.value, low=around.low, high=around.high
        )
        known = best.get(reading.threads)
        if known is None or known.gigabytes_per_second < reading.gigabytes_per_second:
            best[reading.threads] = reading
    return tuple(best[threads] for threads in sorted(best))


def profile_of(probe: Probe, owner: Owner) -> DeviceProfile:
    """Make the owner's profile. The memory's peak is taken to be the best that was reached."""
    source = f"{owner.source}, {probe.date}, onnxruntime {probe.onnxruntime}"
    by_threads = [each.gigabytes_per_second for each in probe.bandwidths]
    cpu = max([*by_threads, *(_rate(step) for step in probe.steps if step.provider in _CPUS)], default=None)
    gpu = max((_rate(step) for step in probe.steps if step.provider in _GPUS), default=None)
    other = max((_rate(step) for step in probe.steps), default=0.0)

    def bandwidth(rate: float) -> Bandwidth:
        return Bandwidth(gigabytes_per_second=round(rate, 2), certainty=MEASURED, source=source)

    def fact(words: str) -> Fact | None:
        return Fact(value=words, certainty=MEASURED, source=source) if words else None

    return DeviceProfile(
        id=_identifier(owner.name),
        name=owner.name,
        kind=owner.kind,
        soc=owner.name,
        memory=Memory(kind="unknown", gigabytes=() if owner.gigabytes is None else (owner.gigabytes,)),
        bandwidth=Bandwidths(
            peak=bandwidth(max(cpu or 0.0, gpu or 0.0, other)),
            cpu=None if cpu is None else bandwidth(cpu),
            gpu=None if gpu is None else bandwidth(gpu),
        ),
        cores=owner.cores,
        cpu=fact(owner.cpu),
        gpu=fact(owner.gpu),
        notes=verdict(probe),
        probe=probe,
    )


def _rate(step: ProbedStep) -> float:
    """Gigabytes of weights a second, of passes over one row; several rows measure arithmetic, not memory."""
    return step.weight_bytes / step.seconds / 1e9 if step.rows == 1 else 0.0


def _identifier(name: str) -> str:
    """Return the name in lower case, its words joined by hyphens."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split()) or "this-machine"
