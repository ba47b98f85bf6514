"""The probe: start the processes, time their cases in turn until the time is up, make a device profile of it."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack

from edgedraft.devices.machine import this_machine
from edgedraft.devices.probing.cases import Case, ProbeSettings, cases, jobs
from edgedraft.devices.probing.child import Worker, working
from edgedraft.devices.probing.graphs import require_onnx
from edgedraft.devices.probing.summing_up import machine_owner, profile_of, summary
from edgedraft.devices.probing.timed import Circumstances
from edgedraft.devices.probing.worker import Job, OpenedGraph, TimingTurn
from edgedraft.devices.profile import DeviceProfile
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.provider_names import CPU
from edgedraft.runtime.core.model import Clock
from edgedraft.runtime.native.library import own_kernels
from edgedraft.runtime.onnx.providers import available_providers, onnxruntime_version

GRACE_SECONDS = 15.0
"""Seconds that a process may overrun the time before it is killed."""

Hire = Callable[[Job, float], AbstractContextManager[Worker]]


def probe_machine(
    settings: ProbeSettings, clock: Clock, progress: Progress = silent, hire: Hire = working
) -> DeviceProfile:
    """Measure this machine; whether the figures can be trusted stands in the profile's probe and notes.

    ``hire`` gives a worker for a job and the seconds after which it is killed.
    """
    require_onnx()
    machine, began = this_machine(), clock()
    end = began + settings.seconds
    library = own_kernels()
    undecided = library.undecided() if library is not None else ()
    probing = _Probing(settings, progress, jobs(settings, machine, sorted(available_providers()), undecided))
    with ExitStack() as stack:
        for job in probing.jobs:
            probing.start(job, hire(job, end + GRACE_SECONDS - clock()), stack)
        probing.take_turns(clock, end)
    about = Circumstances(
        system=machine.name,
        onnxruntime=onnxruntime_version,
        date=settings.date,
        seconds=clock() - began,
        skipped=tuple(probing.skipped),
    )
    return profile_of(summary(probing.timed, about), machine_owner(machine, settings.kind))


class _Probing:
    """The workers that were started, what is timed on each, and what could not be."""

    def __init__(self, settings: ProbeSettings, progress: Progress, work: Sequence[Job]) -> None:
        self.jobs, self.skipped = work, list[str]()
        self._settings, self._progress = settings, progress
        self._crews: list[tuple[Worker, list[Case]]] = []
        self._built = 0

    @property
    def timed(self) -> list[Case]:
        """Return all cases with their times."""
        return [case for _, cases_of_worker in self._crews for case in cases_of_worker]

    def start(self, job: Job, hired: AbstractContextManager[Worker], stack: ExitStack) -> None:
        """Start a worker; ``stack`` will end it. A provider that fails is skipped, the CPU may not fail."""
        with ExitStack() as own:
            try:
                worker = own.enter_context(hired)
                opened = self._opened(job, worker)
            except EdgedraftError as error:
                if job.provider == CPU:
                    raise
                self.skipped.append(f"{job.provider}: {error}")
                return
            self._crews.append((worker, cases(job, opened, self._settings)))
            stack.push(own.pop_all())

    def _opened(self, job: Job, worker: Worker) -> list[OpenedGraph]:
        """Return the results of opening the job's graphs; if the first one fails, do not wait for the others."""
        graphs: list[OpenedGraph] = []
        for spec, opened in zip(job.graphs, worker.opened(), strict=True):
            if opened.error and not graphs:
                raise EdgedraftError(opened.error)
            if opened.error:
                self.skipped.append(f"{spec.precision} {spec.width} wide on {job.provider}: {opened.error}")
            graphs.append(opened)
            self._built += 1
            self._progress("probe: graphs built", self._built, sum(len(each.graphs) for each in self.jobs))
        return graphs

    def take_turns(self, clock: Clock, end: float) -> None:
        """Time every case once a round (A B C A B C …) until ``end``."""
        began, label = clock(), "probe: seconds of timing"
        while clock() < end:
            for worker, turn in self._crews:
                time.sleep(self._settings.rest_seconds)
                requests = tuple(case.request for case in turn)
                taken = worker.take(TimingTurn(requests=requests, seconds=max(end - clock(), 0.0)))
                for case, seconds in zip(turn, taken, strict=False):
                    case.seconds.extend(seconds)
                self._progress(label, round(min(clock(), end) - began), round(end - began))
