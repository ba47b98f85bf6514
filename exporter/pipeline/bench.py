"""Benching a bundle on this machine, maybe beside its drafter before it was trimmed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgedraft.calibration.prompts import Prompt
from edgedraft.devices.machine import Machine, this_machine
from edgedraft.devices.tuning.opening import tuned_for, untuned_remark
from edgedraft.exporter.pipeline.bench_prompts import AskedTurn, bench_prompts, by_category, first_turns, next_turns
from edgedraft.exporter.pipeline.requests import BenchRequest
from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.base.kernel_names import UNRECORDED, PairKernels
from edgedraft.runtime.base.progress import Note, Progress, silent, unsaid
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bench import (
    PLAIN,
    BenchReport,
    Divergence,
    Drafting,
    PromptRun,
    bench_report,
    divergences,
    run_ways,
    speed_ratio,
)
from edgedraft.runtime.bundle.hub import bundle_folder
from edgedraft.runtime.bundle.manifest import INDEPENDENT
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.padding import Padded
from edgedraft.runtime.core.pass_times import PairPassTimes
from edgedraft.runtime.core.policies import PolicyChoice
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.onnx.exact import Exactness
from edgedraft.runtime.onnx.providers import onnxruntime_version

TRIMMED, FULL = "trimmed drafter", "full-vocabulary drafter"


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """A bench with what it ran on, ready for JSON. ``trimmed_over_full`` compares the two drafters prompt by prompt.

    ``exactness`` says whether the texts must equal the target's own. ``kernels`` are those that ran. ``remarks`` are
    sentences about differences from what the plan expected. ``drafter_kind`` is one of the manifest's. ``categories``
    are reports of the prompts of each kind of task, where they have one.
    """

    machine: Machine
    threads: int
    onnxruntime: str
    exactness: Exactness
    draft_vocab_size: int
    draft_length: int
    report: BenchReport
    trimmed_over_full: Interval | None
    divergences: dict[str, tuple[Divergence, ...]]
    kernels: PairKernels = UNRECORDED
    remarks: tuple[str, ...] = ()
    drafter_kind: str = INDEPENDENT
    categories: Mapping[str, BenchReport] = field(default_factory=dict)


def bench_bundle(request: BenchRequest, progress: Progress = silent, note: Note = unsaid) -> Measurement:
    """Open the bundle of a request and measure it."""
    chosen = bench_prompts(request, note)
    engine = Engine.open(
        bundle_folder(request.bundle, request.revision, progress),
        threads=request.threads,
        context_length=request.context_length,
        verify_hashes=request.verify_hashes,
        target_provider=request.target_provider,
        drafter_provider=request.drafter_provider,
        exact=request.exact,
        tuned=tuned_for(request.target_provider, request.drafter_provider, tuned=request.tuned),
    )
    if (remark := untuned_remark(engine)) is not None:
        note(remark)
    return measure(engine, chosen, request, progress, note)


def measure(
    engine: Engine,
    prompts: Sequence[Prompt],
    request: BenchRequest,
    progress: Progress = silent,
    note: Note = unsaid,
) -> Measurement:
    """Run the bench, and look at every text that differs from the target's own.

    The full drafter runs by the first policy of the ``request``. Where a prompt has later turns, they are further
    prompts, which follow the target's own answers.
    """
    manifest = engine.bundle.manifest
    choices = request.choices(manifest.plan)
    full = _full_drafting(Path(request.full_drafter), choices[0], engine) if request.full_drafter else None
    limits, asked = engine.limits(request.max_new_tokens), first_turns(engine, prompts, note)
    with engine.slots.taken() as slot:
        ways = {FULL: full} if full is not None else {}
        for number, choice in enumerate(choices):
            ways[TRIMMED if number == 0 else f"{TRIMMED}, {choice.name}"] = Drafting(
                choice=choice,
                source=slot.source,
                pass_times=PairPassTimes.planned(engine.plan),
                parameter_ratio=manifest.drafter.parameters / manifest.target.parameters,
                byte_ratio=manifest.drafter.weight_bytes / manifest.target.weight_bytes,
            )
        inexact = engine.inexact_target()
        turns, runs = list[AskedTurn](), dict[str, list[PromptRun]]()
        while asked:
            ids = [turn.token_ids for turn in asked]
            ran = run_ways(slot.target, ways, ids, limits, time.perf_counter, progress, inexact=inexact)
            turns += asked
            runs = {name: [*runs.get(name, ()), *each] for name, each in ran.items()}
            asked = next_turns(engine, asked, ran[PLAIN], note)
        report = bench_report(runs, ways, limits.max_new_tokens)
        prompt_ids = [turn.token_ids for turn in turns]
        differing = {way: tuple(divergences(slot.target, prompt_ids, runs, way)) for way in ways}
    return Measurement(
        machine=this_machine(),
        threads=engine.settings.threads,
        onnxruntime=onnxruntime_version,
        exactness=engine.exactness,
        draft_vocab_size=manifest.plan.draft_vocab_size,
        draft_length=choices[0].draft_length,
        report=report,
        trimmed_over_full=speed_ratio(runs[TRIMMED], runs[FULL]) if full is not None else None,
        divergences=differing,
        kernels=engine.kernels,
        remarks=tuple(filter(None, [engine.kernels_remark])),
        drafter_kind=manifest.drafter_kind,
        categories=by_category(turns, runs, ways, limits.max_new_tokens),
    )


def _full_drafting(folder: Path, choice: PolicyChoice, engine: Engine) -> Drafting:
    """Open the untrimmed drafter in an ONNX folder; its size gives the cost ratios."""
    from edgedraft.exporter.graph.loading import (  # the runtime alone benches without it
        load_graph,
        model_size,
        vocabulary_width,
    )
    from edgedraft.exporter.models.convert import GRAPH_NAME
    from edgedraft.exporter.models.fitting import open_fitted
    from edgedraft.exporter.models.vocabulary import require_all_rows

    settings, manifest = engine.drafter_settings, engine.bundle.manifest
    layer, remedy = manifest.drafter_kind != INDEPENDENT, "trim the bundle to another folder, and bench both"
    require(not layer, f"{folder}: a full drafter is opened beside an independent one alone", remedy=remedy)
    width, graph = manifest.target_vocab_size, load_graph(folder / GRAPH_NAME)
    require_all_rows(folder, vocabulary_width(graph), engine.bundle.path)
    model = open_fitted(folder / GRAPH_NAME, width, settings).new_model()
    size = model_size(graph)
    return Drafting(
        choice=choice,
        source=ModelTokenSource(Padded(model, (), settings.provider), IndexMap.identity(width)),
        pass_times=PairPassTimes.planned(engine.plan),
        parameter_ratio=size.parameters / manifest.target.parameters,
        byte_ratio=size.weight_bytes / manifest.target.weight_bytes,
    )


def verdict(measurement: Measurement) -> str:
    """Return one sentence that sums up the measurement."""
    against_plain = measurement.report.ways[TRIMMED].speed_up
    reached = f"{against_plain.text(2, '×')} the target's own speed"
    if measurement.trimmed_over_full is not None:
        reached += f" and {measurement.trimmed_over_full.text(2, '×')} that of the full-vocabulary drafter"
    if against_plain.low > 1:
        return f"Verdict: speculate here - the trimmed drafter reaches {reached}."
    if against_plain.high < 1:
        return f"Verdict: do not speculate here - the trimmed drafter reaches only {reached}."
    return f"Verdict: a toss-up here - the trimmed drafter reaches {reached}."
