"""edgedraft export: a bundle for this machine from a target, a drafter and prompts."""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of export."""
    from edgedraft.commands._options import add_pair_arguments, set_defaults
    from edgedraft.commands._plan_options import add_choice_arguments
    from edgedraft.commands.push import add_private_argument
    from edgedraft.exporter.pipeline.requests import ExportRequest

    parser.add_argument("output", type=Path, help="the bundle's folder")
    add_pair_arguments(parser)
    add_choice_arguments(parser)
    text = "push the bundle to this repository of the Hugging Face hub, as edgedraft push does"
    parser.add_argument("--push-to", metavar="ORG/NAME", help=text)
    add_private_argument(parser)
    set_defaults(parser, ExportRequest)


def run(options: argparse.Namespace, console: Console) -> None:
    """Plan, write and, if asked, push."""
    from edgedraft.commands._options import request_of
    from edgedraft.commands._show import show_coverage, show_pushed
    from edgedraft.commands._show_plan import show_decision, show_drafters
    from edgedraft.exporter.pipeline.export import export_bundle
    from edgedraft.exporter.pipeline.requests import ExportRequest

    exported = export_bundle(request_of(ExportRequest, options), console.progress, console.note)
    plan, calibration = exported.manifest.plan, exported.manifest.calibration
    show_coverage(console, calibration)
    show_drafters(console, exported.drafters)
    show_decision(console, exported.decision)
    path = exported.path
    console.say(f'Wrote {path}. Try: edgedraft generate {path} "Reverse a linked list in Python."')
    result = {"bundle": str(path), "plan": plan, "calibration": calibration, "drafters": exported.drafters}
    if exported.pushed is not None:
        show_pushed(console, exported.pushed)
        result["pushed"] = exported.pushed
    console.result(result)
