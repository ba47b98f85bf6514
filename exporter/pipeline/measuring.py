"""Step times of pairs on this machine: targets by rows, drafters by draft vocabulary size, all interleaved."""

from collections.abc import Iterator, Sequence
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
from edgedraft.devices.steps import DRAFTER, TARGET, StepCase, StepTime, measure_steps
from edgedraft.exporter.models.convert import OnnxFolder
from edgedraft.exporter.models.pair import Pair
from edgedraft.exporter.models.trimmed import open_trimmed
from edgedraft.exporter.planning.ranking import index_map
from edgedraft.exporter.planning.scoring import PairLatency
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.kept import kept, record_reader, short_sum, write_record
from edgedraft.runtime.base.kernel_names import shown_kernels
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require, to_plain
from edgedraft.runtime.core.model import Clock, LanguageModel
from edgedraft.runtime.onnx.kernel_choice import kernels_to_time
from edgedraft.runtime.onnx.providers import onnxruntime_version
from edgedraft.runtime.onnx.session import SessionSettings

PROBED_SIZES = (4096, 32768)
PROBED_ROWS = (*range(1, 10), 13, 17)
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

    def step_models(self, role: str, precision: str) -> list[StepModel]:
        """Fit the latency of one role's passes in one precision, for each of the kernels that were timed."""
        steps = [step for step in self.steps if (step.role, step.precision) == (role, precision)]
        names = dict.fromkeys(step.kernels for step in steps)
        return [fit_step_model([step for step in steps if step.kernels == name]) for name in names]

    def latencies(self, pair: Pair) -> list[PairLatency]:
        """Return the pass times of ``pair``, one of the measured pairs, with each choice of kernels that was timed."""
        targets = self.step_models(TARGET, pair.target.precision)
        drafters = self.step_models(DRAFTER, pair.drafter.precision)
        return [pair_latency(pair, target, drafter) for target in targets for drafter in drafters]


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


def pair_latency(pair: Pair, target: StepModel, drafter: StepModel) -> PairLatency:
    """Combine the step models of both roles with the bytes that their passes read."""
    return PairLatency(
        target=target,
        drafter=drafter,
        target_bytes=pair.target_size.weight_bytes,
        drafter_bytes=lambda size: pair.trimmed_size(size).weight_bytes,
        target_rereads=pair.target_is_recurrent,
    )


def probe_pairs(pairs: Sequence[Pair], timing: Timing, cache: Path, progress: Progress = silent) -> PairSteps:
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


def probe_with_threads(pairs: Sequence[Pair], timing: Timing, threads: int, cache: Path) -> PairSteps:
    """Measure the steps with another number of threads, in another process: a process keeps its one pool."""
    folders = [(pair.target, pair.drafter) for pair in pairs]
    settings = pairs[0].settings
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as child:
        return child.submit(_probe_folders, folders, replace(settings, threads=threads), timing, cache).result()


def _probe_folders(
    folders: Sequence[tuple[OnnxFolder, OnnxFolder]], settings: SessionSettings, timing: Timing, cache: Path
) -> PairSteps:
    return probe_pairs([Pair(target, drafter, settings) for target, drafter in folders], timing, cache)


def timed_kernels(folder: OnnxFolder, settings: SessionSettings) -> tuple[str, ...]:
    """Return the kernels with which a model's passes are timed."""
    return kernels_to_time(folder.graph, settings.provider, settings.kernels)


def step_cases(pairs: Sequence[Pair], order: Ids) -> tuple[dict[str, LanguageModel], list[StepCase]]:
    """Open every model once, by role and precision, and list the passes to time.

    A target's pass over one token follows another such, as in plain decoding; its blocks follow a drafter, and drafters
    a target, as in a round.
    """
    models: dict[str, LanguageModel] = {}
    cases: list[StepCase] = []
    for pair, timed in _variants(pairs, DRAFTER):
        models[timed.name] = pair.drafter_model
        cases += [_drafter_case(pair, timed, pair.most_draft_tokens, rows) for rows in (1, 2)]
        for size in (size for size in PROBED_SIZES if size < pair.most_draft_tokens):
            models[f"{timed.name} {size}"] = open_trimmed(pair, index_map(order, size))
            cases.append(_drafter_case(pair, replace(timed, name=f"{timed.name} {size}"), size, 1))
    for pair, timed in _variants(pairs, TARGET):
        models[timed.name] = pair.target_model
        cases += [_target_case(pair, timed, rows) for rows in PROBED_ROWS]
    return models, cases


@dataclass(frozen=True, kw_only=True, slots=True)
class _Timed:
    """A model to time: its name among all models, its kernels, and the other role's model, which runs before it."""

    name: str
    kernels: str
    other: str


def _variants(pairs: Sequence[Pair], role: str) -> Iterator[tuple[Pair, _Timed]]:
    """Yield a pair for each precision of ``role`` and each of the kernels with which its passes are timed."""
    for pair in {_folder(pair, role).precision: pair for pair in pairs}.values():
        folder, other = _folder(pair, role), _folder(pair, TARGET if role == DRAFTER else DRAFTER)
        names, others = timed_kernels(folder, pair.settings), timed_kernels(other, pair.settings)
        for name in names:
            opened = pair if len(names) == 1 else Pair(pair.target, pair.drafter, replace(pair.settings, kernels=name))
            before = _model_name(TARGET if role == DRAFTER else DRAFTER, other, others, name)
            yield opened, _Timed(name=_model_name(role, folder, names, name), kernels=name, other=before)


def _folder(pair: Pair, role: str) -> OnnxFolder:
    return pair.target if role == TARGET else pair.drafter


def _model_name(role: str, folder: OnnxFolder, kernels: Sequence[str], wanted: str) -> str:
    """Name a model by its kernels too where several are timed; it has the first of them if not those ``wanted``."""
    one = f"{role} {folder.precision}"
    return one if len(kernels) == 1 else f"{one}, {shown_kernels(wanted if wanted in kernels else kernels[0])}"


def _drafter_case(pair: Pair, timed: _Timed, size: int, rows: int) -> StepCase:
    return StepCase(
        model=timed.name,
        role=DRAFTER,
        precision=pair.drafter.precision,
        weight_bytes=pair.trimmed_size(size).weight_bytes,
        rows=rows,
        after=timed.other,
        kernels=timed.kernels,
    )


def _target_case(pair: Pair, timed: _Timed, rows: int) -> StepCase:
    return StepCase(
        model=timed.name,
        role=TARGET,
        precision=pair.target.precision,
        weight_bytes=pair.target_size.weight_bytes,
        rows=rows,
        after=timed.name if rows == 1 else timed.other,
        kernels=timed.kernels,
    )


def _require_memory(models: Sequence[tuple[OnnxFolder, int]]) -> None:
    """Raise `EdgedraftError` if memory cannot hold all copies of every model: swapping would falsify the times."""
    needed, free = sum(folder.file_bytes * count for folder, count in models), psutil.virtual_memory().available
    rule = f"step times: the models need {needed / 2**30:.1f} GiB of memory together"
    several = any(count > 1 for _, count in models)
    remedy = "plan fewer precisions at once" + (", or set EDGEDRAFT_KERNELS=stock" if several else "")
    require(needed < free, rule, got=f"{free / 2**30:.1f} GiB free", remedy=remedy)
