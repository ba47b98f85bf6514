"""The stages that `plan`, `export` and `quickstart` share, up to the bundle."""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.run import Calibration
from edgedraft.commands._options import answer_settings, fixed_choice, open_pair, prompt_set
from edgedraft.commands._show import show_costs
from edgedraft.console import Console
from edgedraft.exporter.bundle_writer import BundleContents, is_current, write_bundle
from edgedraft.exporter.calibrating import PromptSet, calibrate_pair
from edgedraft.exporter.gate import target_divergence
from edgedraft.exporter.pair import Pair
from edgedraft.exporter.pipeline import Planned, bundle_contents, plan_grid, plan_pair
from edgedraft.exporter.quality import Divergence, check_divergence


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stages:
    """What the stages made."""

    prompts: PromptSet
    pair: Pair
    calibration: Calibration
    planned: Planned
    divergence: Divergence | None


def planned_pair(options: argparse.Namespace, cache: Path, console: Console) -> Stages:
    """Fetch, convert, calibrate, time and plan; each stage is taken from the cache when it was done before.

    What the user fixed is checked against the pair before minutes of sampling.
    """
    prompts, choice, settings = prompt_set(options), fixed_choice(options), answer_settings(options)
    pair = open_pair(options, cache, console.progress)
    plan_grid(pair.vocab_size, choice)
    show_costs(console, (*pair.drafter.costs, *pair.target.costs))
    calibration = calibrate_pair(pair, prompts, cache, console.progress, settings)
    divergence = _judged(options.max_divergence, pair, calibration, cache, console)
    planned = plan_pair(pair, calibration, choice, time.perf_counter, cache, console.progress)
    return Stages(prompts=prompts, pair=pair, calibration=calibration, planned=planned, divergence=divergence)


def written_bundle(stages: Stages, output: Path, console: Console) -> BundleContents:
    """Write the planned bundle unless ``output`` already holds it."""
    contents = bundle_contents(stages.pair, stages.calibration, stages.planned, stages.prompts.name, stages.divergence)
    if is_current(contents, output):
        console.note(f"{output} already holds this bundle.")
    else:
        write_bundle(contents, output, console.progress)
    return contents


def _judged(
    bound: float | None, pair: Pair, calibration: Calibration, cache: Path, console: Console
) -> Divergence | None:
    """How far the target strays from fp32, if the user set a bound; above it there is no plan."""
    if bound is None:
        return None
    measured = target_divergence(pair, calibration.scoring_answers, cache, console.progress)
    console.note(
        f"target {measured.precision}: KL {measured.kl_per_token:.4f} nats a token against fp32, "
        f"the same choice at {measured.greedy_agreement:.1%} of {measured.positions} positions"
    )
    check_divergence(measured, bound)
    return measured
