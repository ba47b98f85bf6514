"""Quickstart: the whole job on one pair, from fetching the models to a measured table and a picture."""

from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.data.samples import SCORE
from edgedraft.calibration.prompts import take
from edgedraft.exporter.bundle.owned import check_output
from edgedraft.exporter.graph.providers import CPU
from edgedraft.exporter.models.pair import Pair
from edgedraft.exporter.pipeline.bench import Measurement, measure
from edgedraft.exporter.pipeline.requests import BenchRequest, QuickstartRequest
from edgedraft.exporter.pipeline.stages import planned_pair, written_bundle
from edgedraft.exporter.planning.figures import require_own_pictures
from edgedraft.exporter.planning.pictures import draw_curves
from edgedraft.exporter.planning.planner import Decision
from edgedraft.exporter.planning.views import Curves, curves
from edgedraft.runtime.base.progress import Note, Progress, silent, unsaid
from edgedraft.runtime.bundle.manifest import CalibrationEntry
from edgedraft.runtime.engine import Engine


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class QuickstartReport:
    """The decision, what the draft vocabulary covers, the bench, the curves, and the file of their picture."""

    decision: Decision
    calibration: CalibrationEntry
    measurement: Measurement
    curves: Curves
    picture: Path


def quickstart(request: QuickstartRequest, progress: Progress = silent, note: Note = unsaid) -> QuickstartReport:
    """Fetch, convert, calibrate, plan, export, measure, draw."""
    output = Path(request.output)
    picture = output.with_name(f"{output.name}.png")
    check_output(output)
    require_own_pictures(picture)
    stages = planned_pair(request, progress, note)
    contents = written_bundle(stages, output, progress, note)
    planned, plan = stages.planned, stages.planned.plan
    here = CPU if stages.device else stages.provider.name  # another device's provider may be missing here
    threads = planned.pair.settings.threads  # this process has one pool for good; the plan may be for another number
    engine = Engine.open(output, threads=threads, verify_hashes=False, target_provider=here, drafter_provider=here)
    full = planned.pair.drafter.path if isinstance(planned.pair, Pair) else None
    bench = BenchRequest(bundle=output, max_new_tokens=request.bench_tokens, full_drafter=full)
    prompts = take(stages.prompts.prompts, SCORE, request.bench_prompts)
    measurement = measure(engine, prompts, bench, progress)
    drawn = curves(stages.calibration, planned.replayed, planned.order, plan.draft_length)
    title = f"{planned.pair.drafter.source.name} drafting for {planned.pair.target.source.name}"
    draw_curves(drawn, plan, title, picture)
    return QuickstartReport(
        decision=planned.decision,
        calibration=contents.calibration,
        measurement=measurement,
        curves=drawn,
        picture=picture,
    )
