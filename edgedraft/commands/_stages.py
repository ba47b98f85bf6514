"""The stages that `plan`, `export` and `quickstart` share, up to the bundle."""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.run import Calibration
from edgedraft.commands._options import fixed_choice, open_pair, prompt_set
from edgedraft.commands._show import show_costs
from edgedraft.console import Console
from edgedraft.exporter.bundle_writer import BundleContents, is_current, write_bundle
from edgedraft.exporter.pair import Pair
from edgedraft.exporter.pipeline import Planned, PromptSet, bundle_contents, calibrate_pair, plan_grid, plan_pair


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stages:
    """What the stages made."""

    prompts: PromptSet
    pair: Pair
    calibration: Calibration
    planned: Planned


def planned_pair(options: argparse.Namespace, cache: Path, console: Console) -> Stages:
    """Fetch, convert, calibrate, time and plan; each stage is taken from the cache when it was done before.

    What the user fixed is checked against the pair before minutes of sampling.
    """
    prompts, choice = prompt_set(options), fixed_choice(options)
    pair = open_pair(options, cache, console.progress)
    plan_grid(pair.vocab_size, choice)
    show_costs(console, (*pair.drafter.costs, *pair.target.costs))
    calibration = calibrate_pair(pair, prompts, cache, console.progress)
    planned = plan_pair(pair, calibration, choice, time.perf_counter, cache, console.progress)
    return Stages(prompts=prompts, pair=pair, calibration=calibration, planned=planned)


def written_bundle(stages: Stages, output: Path, console: Console) -> BundleContents:
    """Write the planned bundle unless ``output`` already holds it."""
    contents = bundle_contents(stages.pair, stages.calibration, stages.planned, stages.prompts.name)
    if is_current(contents, output):
        console.note(f"{output} already holds this bundle.")
    else:
        write_bundle(contents, output, console.progress)
    return contents
