"""Timing the pair's own steps on this machine: the target by rows, the drafter by draft vocabulary size."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from edgedraft.devices.machine import this_machine
from edgedraft.devices.profile import DeviceProfile
from edgedraft.devices.steps import DRAFTER, TARGET, StepCase, measure_steps
from edgedraft.exporter.graphs import load_graph, model_size
from edgedraft.exporter.head import round_to_tile, trim_head
from edgedraft.exporter.pair import Pair
from edgedraft.exporter.planner import DRAFT_LENGTHS, StepCosts
from edgedraft.exporter.ranking import index_map
from edgedraft.runtime.files import read_json, write_json
from edgedraft.runtime.index_map import Ids
from edgedraft.runtime.model import LanguageModel
from edgedraft.runtime.progress import Progress, silent
from edgedraft.runtime.records import from_plain, to_plain
from edgedraft.runtime.session import OnnxModel, onnxruntime_version
from edgedraft.runtime.timing import Clock

PROBED_SIZES = (4096, 32768)
REPEATS = 15
CONTEXT_TOKENS = 128


def probe_pair(
    pair: Pair, order: Ids, context_ids: Sequence[int], clock: Clock, cache: Path, progress: Progress = silent
) -> DeviceProfile:
    """Step times of this pair on this machine, from ``cache`` when they were measured before.

    Trimmed graphs are written beside the full drafter's data file for as long as the probe runs.
    """
    machine = this_machine()
    facts = [to_plain(machine), pair.settings.threads, onnxruntime_version, pair.target.key, pair.drafter.key]
    kept = cache / "devices" / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}.json"
    if kept.exists():
        return from_plain(DeviceProfile, read_json(kept), str(kept))
    models: dict[str, LanguageModel] = {TARGET: pair.target_model, DRAFTER: pair.drafter_model}
    cases = [StepCase(model=DRAFTER, role=DRAFTER, weight_bytes=pair.drafter_size.weight_bytes, rows=r) for r in (1, 2)]
    graphs = []
    try:
        for size in (size for size in PROBED_SIZES if size < pair.vocab_size):
            graph = pair.drafter.path / f"probe-{size}.onnx"
            graphs.append(graph)
            weight_bytes = _write_trimmed(pair, order, size, graph)
            models[graph.stem] = OnnxModel(graph, pair.settings)
            cases.append(StepCase(model=graph.stem, role=DRAFTER, weight_bytes=weight_bytes, rows=1))
    finally:
        for graph in graphs:
            graph.unlink(missing_ok=True)
    rows = (1, *(length + 1 for length in DRAFT_LENGTHS))
    size = pair.target_size.weight_bytes
    cases += [StepCase(model=TARGET, role=TARGET, weight_bytes=size, rows=count) for count in rows]
    steps = measure_steps(models, cases, context_ids[:CONTEXT_TOKENS], clock, REPEATS, progress)
    profile = DeviceProfile(
        machine=machine, threads=pair.settings.threads, onnxruntime=onnxruntime_version, steps=tuple(steps)
    )
    write_json(kept, to_plain(profile))
    return profile


def step_costs(pair: Pair, profile: DeviceProfile) -> StepCosts:
    """The planner's two cost functions, from the profile's latency models."""
    drafter, target = profile.latency(DRAFTER), profile.latency(TARGET)
    return StepCosts(
        drafter=lambda size, rows: drafter.seconds(drafter_bytes(pair, size), rows),
        target=lambda rows: target.seconds(pair.target_size.weight_bytes, rows),
    )


def drafter_bytes(pair: Pair, size: int) -> int:
    """Bytes that one step of the drafter reads when its head has ``size`` rows."""
    return pair.drafter_size.weight_bytes - (pair.vocab_size - size) * pair.head_row.weight_bytes


def drafter_parameters(pair: Pair, size: int) -> int:
    """Weights that one step of the drafter multiplies with when its head has ``size`` rows."""
    return pair.drafter_size.parameters - (pair.vocab_size - size) * pair.head_row.parameters


def _write_trimmed(pair: Pair, order: Ids, size: int, graph: Path) -> int:
    """A trimmed graph that borrows the full drafter's data file; returns the bytes a step reads."""
    model = load_graph(pair.drafter.graph)
    trim_head(model, index_map(order, round_to_tile(size, pair.vocab_size)))
    ir.save(model, graph)
    return model_size(model).weight_bytes
