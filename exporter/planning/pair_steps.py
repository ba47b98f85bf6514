"""Timing the pair's own steps on this machine: the target by rows, the drafter by draft vocabulary size."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.devices.fitting import fit_step_model
from edgedraft.devices.latency import StepModel
from edgedraft.devices.machine import Machine, this_machine
from edgedraft.devices.steps import DRAFTER, TARGET, StepCase, StepTime, measure_steps
from edgedraft.exporter.pair import Pair
from edgedraft.exporter.planning.planner import DRAFT_LENGTHS, StepCosts
from edgedraft.exporter.planning.ranking import index_map
from edgedraft.exporter.trimmed import open_trimmed
from edgedraft.runtime.files import read_json, write_json
from edgedraft.runtime.index_map import Ids
from edgedraft.runtime.model import LanguageModel
from edgedraft.runtime.progress import Progress, silent
from edgedraft.runtime.records import from_plain, to_plain
from edgedraft.runtime.session import onnxruntime_version
from edgedraft.runtime.timing import Clock

PROBED_SIZES = (4096, 32768)
REPEATS = 40
CONTEXT_TOKENS = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class PairSteps:
    """Step times of a pair as measured: the machine, the pool's threads, the runtime's version, times per role."""

    machine: Machine
    threads: int
    onnxruntime: str
    steps: tuple[StepTime, ...]

    def step_model(self, role: str) -> StepModel:
        """The latency of one role's passes, fitted to its steps."""
        return fit_step_model([step for step in self.steps if step.role == role])


def probe_pair(
    pair: Pair, order: Ids, context_ids: Sequence[int], clock: Clock, cache: Path, progress: Progress = silent
) -> PairSteps:
    """Step times of this pair on this machine, from ``cache`` when they were measured before."""
    machine = this_machine()
    facts = [to_plain(machine), to_plain(pair.settings), onnxruntime_version, pair.target.key, pair.drafter.key]
    kept = cache / "devices" / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}.json"
    if kept.exists():
        return from_plain(PairSteps, read_json(kept), str(kept))
    models: dict[str, LanguageModel] = {TARGET: pair.target_model, DRAFTER: pair.drafter_model}
    cases = [StepCase(model=DRAFTER, role=DRAFTER, weight_bytes=pair.drafter_size.weight_bytes, rows=r) for r in (1, 2)]
    for size in (size for size in PROBED_SIZES if size < pair.vocab_size):
        name, weight_bytes = f"{DRAFTER} {size}", pair.trimmed_size(size).weight_bytes
        models[name] = open_trimmed(pair, index_map(order, size))
        cases.append(StepCase(model=name, role=DRAFTER, weight_bytes=weight_bytes, rows=1))
    weight_bytes = pair.target_size.weight_bytes
    rows = (1, *(length + 1 for length in DRAFT_LENGTHS))
    cases += [StepCase(model=TARGET, role=TARGET, weight_bytes=weight_bytes, rows=count) for count in rows]
    steps = measure_steps(models, cases, context_ids[:CONTEXT_TOKENS], clock, REPEATS, progress)
    measured = PairSteps(
        machine=machine, threads=pair.settings.threads, onnxruntime=onnxruntime_version, steps=tuple(steps)
    )
    write_json(kept, to_plain(measured))
    return measured


def step_costs(pair: Pair, measured: PairSteps) -> StepCosts:
    """The planner's two cost functions, from the latency of both roles."""
    drafter, target = measured.step_model(DRAFTER), measured.step_model(TARGET)
    return StepCosts(
        drafter=lambda size, rows: drafter.seconds(pair.trimmed_size(size).weight_bytes, rows),
        target=lambda rows: target.seconds(pair.target_size.weight_bytes, rows),
    )
