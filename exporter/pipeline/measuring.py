"""Step times of pairs on this machine: targets by rows, drafters by draft vocabulary size, all interleaved."""

import hashlib
import json
from collections.abc import Sequence
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
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import from_plain, require, to_plain
from edgedraft.runtime.core.model import Clock, LanguageModel
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
    """Step times as measured: the machine, the pool's threads, the runtime's version, times by role and precision."""

    machine: Machine
    threads: int
    onnxruntime: str
    steps: tuple[StepTime, ...]

    @property
    def noise(self) -> float:
        """Median over the steps of the quartile width over the median."""
        return float(np.median([(step.seconds_high - step.seconds_low) / step.seconds for step in self.steps]))

    def step_model(self, role: str, precision: str) -> StepModel:
        """Fit the latency of one role's passes in one precision to its steps."""
        return fit_step_model([step for step in self.steps if (step.role, step.precision) == (role, precision)])

    def latency(self, pair: Pair) -> PairLatency:
        """Return the pass times of ``pair``, which must be one of the measured pairs."""
        target, drafter = (TARGET, pair.target.precision), (DRAFTER, pair.drafter.precision)
        return pair_latency(pair, self.step_model(*target), self.step_model(*drafter))


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
    )


def probe_pairs(pairs: Sequence[Pair], timing: Timing, cache: Path, progress: Progress = silent) -> PairSteps:
    """Measure the steps of all pairs on this machine, interleaved, or read them from ``cache`` where they are known.

    Raises `EdgedraftError` where memory cannot hold all models at once.
    """
    machine, settings = this_machine(), pairs[0].settings
    keys = sorted({key for pair in pairs for key in (pair.target.key, pair.drafter.key)})
    facts = [_METHOD, to_plain(machine), to_plain(settings), onnxruntime_version, keys, PROBED_ROWS, PROBED_SIZES]
    kept = cache / "devices" / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}.json"
    if kept.exists():
        return from_plain(PairSteps, read_json(kept), str(kept))
    _require_memory(pairs)
    models, cases = step_cases(pairs, timing.order)
    context = timing.context_ids[:CONTEXT_TOKENS]
    steps = measure_steps(models, cases, context, timing.clock, timing.repeats, progress)
    measured = PairSteps(machine=machine, threads=settings.threads, onnxruntime=onnxruntime_version, steps=tuple(steps))
    if measured.noise <= timing.most_noise:
        write_json(kept, to_plain(measured))
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


def step_cases(pairs: Sequence[Pair], order: Ids) -> tuple[dict[str, LanguageModel], list[StepCase]]:
    """Open every model once, by role and precision, and list the passes to time.

    A target's pass over one token follows another such, as in plain decoding; its blocks follow a drafter, and drafters
    a target, as in a round.
    """
    models: dict[str, LanguageModel] = {}
    cases: list[StepCase] = []
    for pair in {pair.drafter.precision: pair for pair in pairs}.values():
        name = _model_name(DRAFTER, pair.drafter)
        models[name] = pair.drafter_model
        cases += [_drafter_case(pair, name, pair.most_draft_tokens, rows) for rows in (1, 2)]
        for size in (size for size in PROBED_SIZES if size < pair.most_draft_tokens):
            models[f"{name} {size}"] = open_trimmed(pair, index_map(order, size))
            cases.append(_drafter_case(pair, f"{name} {size}", size, 1))
    for pair in {pair.target.precision: pair for pair in pairs}.values():
        models[_model_name(TARGET, pair.target)] = pair.target_model
        cases += [_target_case(pair, rows) for rows in PROBED_ROWS]
    return models, cases


def _model_name(role: str, folder: OnnxFolder) -> str:
    return f"{role} {folder.precision}"


def _drafter_case(pair: Pair, name: str, size: int, rows: int) -> StepCase:
    return StepCase(
        model=name,
        role=DRAFTER,
        precision=pair.drafter.precision,
        weight_bytes=pair.trimmed_size(size).weight_bytes,
        rows=rows,
        after=_model_name(TARGET, pair.target),
    )


def _target_case(pair: Pair, rows: int) -> StepCase:
    name = _model_name(TARGET, pair.target)
    return StepCase(
        model=name,
        role=TARGET,
        precision=pair.target.precision,
        weight_bytes=pair.target_size.weight_bytes,
        rows=rows,
        after=name if rows == 1 else _model_name(DRAFTER, pair.drafter),
    )


def _require_memory(pairs: Sequence[Pair]) -> None:
    """Raise `EdgedraftError` where memory cannot hold all models at once: swapping would time the disk."""
    folders = {folder.key: folder for pair in pairs for folder in (pair.target, pair.drafter)}
    needed, free = sum(folder.file_bytes for folder in folders.values()), psutil.virtual_memory().available
    rule = f"step times: the models need {needed / 2**30:.1f} GiB of memory together"
    require(needed < free, rule, got=f"{free / 2**30:.1f} GiB free", remedy="plan fewer precisions at once")
