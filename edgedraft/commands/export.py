"""edgedraft export: a bundle for this machine from a target, a drafter and prompts."""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of export."""
    from edgedraft.commands._options import add_pair_arguments
    from edgedraft.commands._plan_options import add_choice_arguments

    parser.add_argument("output", type=Path, help="the bundle's folder")
    add_pair_arguments(parser)
    add_choice_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Plan and write."""
    from edgedraft.commands._options import cache_of
    from edgedraft.commands._show import show_coverage
    from edgedraft.commands._show_plan import show_decision
    from edgedraft.commands._stages import planned_pair, written_bundle
    from edgedraft.exporter.bundle_writer import check_output

    check_output(options.output)
    stages = planned_pair(options, cache_of(options), console)
    contents = written_bundle(stages, options.output, console)
    show_coverage(console, contents.calibration)
    show_decision(console, stages.planned.decision)
    console.say(f'Wrote {options.output}. Try: edgedraft generate {options.output} "Reverse a linked list in Python."')
    console.result({"bundle": str(options.output), "plan": contents.plan, "calibration": contents.calibration})
