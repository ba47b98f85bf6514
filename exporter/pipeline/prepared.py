"""Drafters that are ready to be planned, and their plans: for this machine or for a device that is not here."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.run import Calibration
from edgedraft.exporter.models.pair import AnyPair
from edgedraft.exporter.pipeline.planning import PlanningCase, PlanningRequest, plan_cases_here, plan_elsewhere
from edgedraft.exporter.pipeline.remote_device import LatencyForecast, probe_remark
from edgedraft.exporter.planning.planner import Planned
from edgedraft.runtime.base.progress import Note, Progress
from edgedraft.runtime.bundle.manifest import DivergenceEntry


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PreparedDrafter:
    """One drafter before planning, with its target: in all precisions, and in those that are close enough to fp32.

    ``divergences`` are of the targets, by precision; empty where nothing depends on them.
    """

    pairs: Sequence[AnyPair]
    usable: Sequence[AnyPair]
    wishes: PlanningRequest
    calibration: Calibration
    divergences: Mapping[str, DivergenceEntry]


def plans_here(prepared: Sequence[PreparedDrafter], cache: Path, progress: Progress) -> list[Planned]:
    """Plan all drafters for this machine, by one run that times them all."""
    cases = [
        PlanningCase(pairs=tuple(each.usable), calibration=each.calibration, request=each.wishes) for each in prepared
    ]
    return plan_cases_here(cases, time.perf_counter, cache, progress)


def plans_elsewhere(prepared: Sequence[PreparedDrafter], device: LatencyForecast, note: Note) -> list[Planned]:
    """Plan all drafters for ``device`` by its forecast; ``note`` gets one line where a probe timed other kernels."""
    plans = [plan_elsewhere(each.usable, each.calibration, each.wishes, device) for each in prepared]
    remarks = (probe_remark(device, plan.pair, plan.plan.kernels) for plan in plans)
    for remark in dict.fromkeys(filter(None, remarks)):
        note(remark)
    return plans
