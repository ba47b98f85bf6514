"""edgedraft calibrate: sample both models on the prompts; count text, add counts, compare domains."""

import argparse
from pathlib import Path

from edgedraft.commands import _calibrate_compare, _calibrate_count, _calibrate_merge
from edgedraft.console import Console

PARTS = {
    "count": (_calibrate_count, "count the assistant's tokens in conversations or texts"),
    "merge": (_calibrate_merge, "add counts of shards"),
    "compare": (_calibrate_compare, "say how well one calibration's token list serves another's domain"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of calibrate, and its parts."""
    from edgedraft.commands._options import add_pair_arguments, add_parts, set_defaults
    from edgedraft.exporter.pipeline.requests import CalibrateRequest

    add_pair_arguments(parser)
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="save the calibration, for calibrate compare")
    set_defaults(parser, CalibrateRequest)
    add_parts(parser, PARTS, help="instead of sampling a pair:")


def run(options: argparse.Namespace, console: Console) -> None:
    """Calibrate, then show what every size would cover and accept on the held-out half."""
    from edgedraft.commands._options import request_of
    from edgedraft.commands._show import show_curves, show_learning
    from edgedraft.exporter.pipeline.report import SHOWN_DRAFT_LENGTH, calibrate
    from edgedraft.exporter.pipeline.requests import CalibrateRequest

    report = calibrate(request_of(CalibrateRequest, options), console.progress, console.note)
    show_curves(console, report.curves, draft_length=SHOWN_DRAFT_LENGTH)
    show_learning(console, report.learning_curve, report.enough.size)
    unseen = report.unseen_mass
    never = f"{unseen.value:.1%} [{unseen.low:.1%}–{unseen.high:.1%}]"
    console.say(f"Never seen, by Good and Turing: {never} of the domain's tokens.")
    console.say(f"Is it enough? {report.enough.sentence}")
    console.say(f"Positions that the trace cuts off: {report.cut_share:.2%}.")
    console.result(report)
