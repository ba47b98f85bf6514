"""Step times of pairs on this machine: targets by rows, drafters by draft vocabulary size, all interleaved."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil

from edgedraft.devices.fitting import fit_step_model
from edgedraft.devices.latency import StepModel
from edgedraft.devices.machine import Machine, this_machine
from edgedraft.devices.probing.noise import MOST_NOISE
from edgedraft.devices.steps import DRAFTER, READING, TARGET, StepTime, measure_steps
from edgedraft.exporter.models.convert import OnnxFolder
from edgedraft.exporter.models.pair import AnyPair
from edgedraft.exporter.pipeline.layer_steps import reading_cost
from edgedraft.exporter.pipeline.step_cases import PROBED_ROWS, PROBED_SIZES, Conversion, step_cases, timed_kernels
from edgedraft.exporter.planning.scoring import PairLatency, ReadingCost
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.kept import kept, record_reader, short_sum, write_record
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require, to_plain
from edgedraft.runtime.core.model import Clock
from edgedraft.runtime.onnx.providers import onnxruntime_version
from edgedraft.runtime.onnx.session import SessionSettings

REPEATS = 40
CONTEXT_TOKENS = 128
# Goes into the name of the cache file: another text forgets all step times, so it stays though its words are old.
_METHOD = "the middle mean behind the pass that comes before it when decoding"


@dataclass(frozen=True, kw_only=True, slots=True)
class PairSteps:
    """Step times as measured: the machine, the pool's threads, the runtime's version, times by role and precision.

    If several kernels are compared, a role has times for each.
    """

    machine: Machine
    threads: int
    onnxruntime: str
    steps: tuple[StepTime, ...]

    @property
    def noise(self) -> float:
        """Median over the steps of the quartile width over the median."""
        return float(np.median([(step.seconds_high - step.seconds_low) / step.seconds for step in self.steps]))

    def steps_of(self, folder: Conversion, *roles: str) -> list[StepTime]:
        """Return the steps of one model in one or more roles."""
        return [
            step
            for step in self.steps
            if step.role in roles and step.precision == folder.precision and step.conversion in ("", folder.key)
        ]

    def step_models(self, role: str, folder: Conversion) -> list[StepModel]:
        """Fit the latency of one model's passes, for each of the kernels that were timed."""
        steps = self.steps_of(folder, role)
        names = dict.fromkeys(step.kernels for step in steps)
        return [fit_step_model([step for step in steps if step.kernels == name]) for name in names]

    def latencies(self, pair: AnyPair) -> list[PairLatency]:
        """Return the pass times of ``pair``, one of the measured pairs, with each choice of kernels that was timed."""
        targets = self.step_models(TARGET, pair.target)
        drafters = self.step_models(DRAFTER, pair.drafter)
        return [
            pair_latency(pair, target, drafter, self._reading(pair, drafter.kernels))
            for target in targets
            for drafter in drafters
        ]

    def _reading(self, pair: AnyPair, kernels: str) -> ReadingCost | None:
        steps = [step for step in self.steps_of(pair.drafter, DRAFTER, READING) if step.kernels == kernels]
        return reading_cost(steps) if any(step.role == READING for step in steps) else None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Timing:
    """Settings of timing: the token order that trims drafters, tokens to read first, a clock, and how many times.

    Times that spread by more than ``most_noise`` are used once and not kept.
    """

    order: Ids
    context_ids: Sequence[int]
    clock: Clock
    repeats: int = REPEATS
    most_noise: float = MOST_NOISE


def pair_latency(
    pair: AnyPair, target: StepModel, drafter: StepModel, reading: ReadingCost | None = None
) -> PairLatency:
    """Combine the step models of both roles with the bytes that their passes read."""
    return PairLatency(
        target=target,
        drafter=drafter,
        target_bytes=pair.target_size.weight_bytes,
        drafter_bytes=lambda size: pair.trimmed_size(size).weight_bytes,
        reading=reading,
        target_rereads=pair.target_is_recurrent,
    )


def probe_pairs(pairs: Sequence[AnyPair], timing: Timing, cache: Path, progress: Progress = silent) -> PairSteps:
    """Measure the steps of all pairs on this machine, interleaved, or read them from ``cache`` if they are known.

    The cache holds times separately for each choice of kernels. Raises `EdgedraftError` if memory cannot hold all
    models at once.
    """
    machine, settings = this_machine(), pairs[0].settings
    folders = {folder.key: folder for pair in pairs for folder in (pair.target, pair.drafter)}
    kernels = {key: timed_kernels(folders[key], settings) for key in sorted(folders)}
    facts = [_METHOD, to_plain(machine), to_plain(settings), onnxruntime_version, kernels, PROBED_ROWS, PROBED_SIZES]
    path = cache / "devices" / f"{short_sum(facts)}.json"
    if (known := kept(record_reader(PairSteps), path)) is not None:
        return known
    _require_memory([(folders[key], len(names)) for key, names in kernels.items()])
    models, cases = step_cases(pairs, timing.order)
    context = timing.context_ids[:CONTEXT_TOKENS]
    steps = measure_steps(models, cases, context, timing.clock, timing.repeats, progress)
    measured = PairSteps(machine=machine, threads=settings.threads, onnxruntime=onnxruntime_version, steps=tuple(steps))
    if measured.noise <= timing.most_noise:
        write_record(path, measured)
    return measured


def probe_with_threads(pairs: Sequence[AnyPair], timing: Timing, threads: int, cache: Path) -> PairSteps:
    """Measure the steps with another number of threads, in another process: a process keeps its one pool."""
    folders = [(type(pair), pair.target, pair.drafter) for pair in pairs]
    settings = pairs[0].settings
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as child:
        return child.submit(_probe_folders, folders, replace(settings, threads=threads), timing, cache).result()


def _probe_folders(
    folders: Sequence[tuple[Callable[..., AnyPair], OnnxFolder, Conversion]],
    settings: SessionSettings,
    timing: Timing,
    cache: Path,
) -> PairSteps:
    return probe_pairs([kind(target, drafter, settings) for kind, target, drafter in folders], timing, cache)


def _require_memory(models: Sequence[tuple[Conversion, int]]) -> None:
    """Raise `EdgedraftError` if memory cannot hold all copies of every model: swapping would falsify the times."""
    needed, free = sum(folder.file_bytes * count for folder, count in models), psutil.virtual_memory().available
    rule = f"step times: the models need {needed / 2**30:.1f} GiB of memory together"
    several = any(count > 1 for _, count in models)
    remedy = "plan fewer precisions at once" + (", or set EDGEDRAFT_KERNELS=stock" if several else "")
    require(needed < free, rule, got=f"{free / 2**30:.1f} GiB free", remedy=remedy)
