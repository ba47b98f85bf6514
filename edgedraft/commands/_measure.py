"""The bench that `bench` and `quickstart` share: an open bundle, prompts, and maybe the untrimmed drafter."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.prompts import Prompt
from edgedraft.console import Console
from edgedraft.devices.machine import Machine, this_machine
from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bench import BenchReport, Divergence, Drafting, bench, divergences, speed_ratio
from edgedraft.runtime.bundle.manifest import BundleManifest
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import LanguageModel
from edgedraft.runtime.core.padding import Padded
from edgedraft.runtime.core.pass_times import PairPassTimes
from edgedraft.runtime.core.policies import PolicyChoice
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.onnx.session import onnxruntime_version, open_model

TRIMMED, FULL = "trimmed drafter", "full-vocabulary drafter"


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """A bench with what it ran on, ready for JSON. ``trimmed_over_full`` compares the two drafters prompt by prompt."""

    machine: Machine
    threads: int
    onnxruntime: str
    draft_vocab_size: int
    draft_length: int
    report: BenchReport
    trimmed_over_full: Interval | None
    divergences: dict[str, tuple[Divergence, ...]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FullDrafter:
    """The drafter before trimming; its weights a step reads, for the cost ratios."""

    model: LanguageModel
    vocab_size: int
    parameters: int
    weight_bytes: int


def full_drafter(folder: Path, engine: Engine) -> FullDrafter:
    """Open the untrimmed drafter in an ONNX folder beside a bundle's engine."""
    from edgedraft.exporter.graph.loading import load_graph, model_size
    from edgedraft.exporter.models.convert import GRAPH_NAME

    size = model_size(load_graph(folder / GRAPH_NAME))
    settings = engine.drafter_settings
    model = open_model(folder / GRAPH_NAME, settings)
    vocab_size = engine.bundle.manifest.target_vocab_size
    require(model.vocab_size == vocab_size, f"{folder}: logits must be {vocab_size} wide", got=model.vocab_size)
    return FullDrafter(
        model=Padded(model, (), settings.provider),
        vocab_size=vocab_size,
        parameters=size.parameters,
        weight_bytes=size.weight_bytes,
    )


def measure(
    engine: Engine,
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    choices: Sequence[PolicyChoice],
    full: FullDrafter | None,
    console: Console,
) -> Measurement:
    """Run the bench on ``prompts`` and look at every text that differs from the target's own.

    The first of ``choices`` is also what the untrimmed drafter does.
    """
    manifest = engine.bundle.manifest
    prompt_ids = [engine.codec.encode_chat(prompt.messages) for prompt in prompts]
    limits = engine.limits(max_new_tokens)
    with engine.slots.taken() as slot:
        ways = {FULL: _full_way(full, choices[0], manifest)} if full is not None else {}
        for number, choice in enumerate(choices):
            name = TRIMMED if number == 0 else f"{TRIMMED}, {choice.name}"
            ways[name] = _trimmed_way(slot.drafter, choice, engine)
        report, runs = bench(slot.target, ways, prompt_ids, limits, time.perf_counter, console.progress)
        found = {way: tuple(divergences(slot.target, prompt_ids, runs, way)) for way in ways}
    return Measurement(
        machine=this_machine(),
        threads=engine.settings.threads,
        onnxruntime=onnxruntime_version,
        draft_vocab_size=manifest.plan.draft_vocab_size,
        draft_length=choices[0].draft_length,
        report=report,
        trimmed_over_full=speed_ratio(runs[TRIMMED], runs[FULL]) if full is not None else None,
        divergences=found,
    )


def _full_way(full: FullDrafter, choice: PolicyChoice, manifest: BundleManifest) -> Drafting:
    return Drafting(
        choice=choice,
        drafter=full.model,
        index_map=IndexMap.identity(full.vocab_size),
        pass_times=PairPassTimes.planned(manifest.plan),
        parameter_ratio=full.parameters / manifest.target.parameters,
        byte_ratio=full.weight_bytes / manifest.target.weight_bytes,
    )


def _trimmed_way(drafter: LanguageModel, choice: PolicyChoice, engine: Engine) -> Drafting:
    manifest = engine.bundle.manifest
    return Drafting(
        choice=choice,
        drafter=drafter,
        index_map=engine.bundle.index_map,
        pass_times=PairPassTimes.planned(manifest.plan),
        parameter_ratio=manifest.drafter.parameters / manifest.target.parameters,
        byte_ratio=manifest.drafter.weight_bytes / manifest.target.weight_bytes,
    )
