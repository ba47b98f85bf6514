"""edgedraft quickstart: the whole job on a real pair, ending with a table and a verdict."""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of quickstart; all have defaults."""
    from edgedraft.commands._options import add_pair_arguments, positive, set_defaults
    from edgedraft.commands._plan_options import add_choice_arguments
    from edgedraft.exporter.pipeline.requests import QuickstartRequest

    parser.add_argument("--output", type=Path, help="default: ./quickstart-bundle")
    add_pair_arguments(parser)
    add_choice_arguments(parser)
    parser.add_argument("--bench-prompts", type=positive, metavar="N", help="default: %(default)s")
    parser.add_argument("--bench-tokens", type=positive, metavar="N", help="new tokens each (default: %(default)s)")
    set_defaults(parser, QuickstartRequest)


def run(options: argparse.Namespace, console: Console) -> None:
    """Export, measure and show the result."""
    from edgedraft.commands._options import request_of
    from edgedraft.commands._show import show_coverage, show_measurement
    from edgedraft.commands._show_plan import show_decision
    from edgedraft.exporter.pipeline.bench import verdict
    from edgedraft.exporter.pipeline.quickstart import quickstart
    from edgedraft.exporter.pipeline.requests import QuickstartRequest

    report = quickstart(request_of(QuickstartRequest, options), console.progress, console.note)
    show_coverage(console, report.calibration)
    show_decision(console, report.decision)
    show_measurement(console, report.measurement)
    console.say(verdict(report.measurement))
    console.say(f"Picture: {report.picture}")
    console.say(f"Talk to it: edgedraft chat {options.output}")
    console.result(
        {
            "plan": report.decision.plan,
            "calibration": report.calibration,
            "measurement": report.measurement,
            "curves": report.curves,
        }
    )
