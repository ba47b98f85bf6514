"""edgedraft calibrate: sample both models on the prompts; count text, add counts, compare domains, feed trainers."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.commands import _calibrate_compare, _calibrate_count, _calibrate_merge
from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.exporter.pipeline.report import CalibrationReport

PARTS = {
    "count": (_calibrate_count, "count the assistant's tokens in conversations or texts"),
    "merge": (_calibrate_merge, "add counts of shards"),
    "compare": (_calibrate_compare, "say how well one calibration's token list serves another's domain"),
}
_WITH_FEATURES = ("layers", "vocab_size")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of calibrate, and its parts."""
    from edgedraft.commands._options import add_pair_arguments, add_parts, add_report_argument, set_defaults
    from edgedraft.exporter.pipeline.requests import CalibrateRequest

    add_pair_arguments(parser)
    add_report_argument(parser)
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="save the calibration, for calibrate compare")
    _add_training_arguments(parser)
    set_defaults(parser, CalibrateRequest)
    add_parts(parser, PARTS, help="instead of sampling a pair:")


def _add_training_arguments(parser: argparse.ArgumentParser) -> None:
    from edgedraft.commands._options import natural, positive

    group = parser.add_argument_group("training data for an EAGLE-3 drafter")
    text = "write the target's answers and states in SpecForge's offline format; no drafter is read"
    group.add_argument("--features", type=Path, metavar="FOLDER", help=text)
    text = "with --features: the layers whose inputs the drafter reads (default: 2, N/2 and N-3 of N)"
    group.add_argument("--layers", type=natural, nargs="+", metavar="LAYER", help=text)
    text = "with --features: the tokens that the drafter can draft (default: 32000)"
    group.add_argument("--vocab-size", type=positive, metavar="K", help=text)


def run(options: argparse.Namespace, console: Console) -> None:
    """Calibrate, then show what every size would cover and accept on the held-out half; or write training data."""
    from edgedraft.runtime.base.records import require

    if options.features is not None:
        rule = "--features needs the target alone, and saves no calibration of a pair"
        require(options.output is None, rule, got="--output", remedy="run the two one after the other")
        require(options.report is None, "--features shows nothing to draw", got="--report", remedy="leave it out")
        _write_features(options, console)
        return
    given = next((name for name in _WITH_FEATURES if getattr(options, name) is not None), None)
    rule = "only training data has layers and one vocabulary size"
    require(given is None, rule, got=f"--{(given or '').replace('_', '-')}", remedy="add --features FOLDER")
    _calibrate(options, console)


def _write_features(options: argparse.Namespace, console: Console) -> None:
    from edgedraft.commands._options import request_of
    from edgedraft.exporter.pipeline.features import write_features
    from edgedraft.exporter.pipeline.requests import FeaturesRequest

    report = write_features(request_of(FeaturesRequest, options), console.progress, console.note)
    for sentence in report.sentences:
        console.say(sentence)
    console.result(report)


def _calibrate(options: argparse.Namespace, console: Console) -> None:
    from edgedraft.commands._options import request_of
    from edgedraft.exporter.pages.calibrate_page import calibrate_figures
    from edgedraft.exporter.pages.writing import reporting
    from edgedraft.exporter.pipeline.report import SHOWN_DRAFT_LENGTH, calibrate
    from edgedraft.exporter.pipeline.requests import CalibrateRequest

    request = request_of(CalibrateRequest, options)
    with reporting(options.report, f"edgedraft calibrate {request.target}", console.recording, console.note) as figures:
        report = calibrate(request, console.progress, console.note)
        _show(console, report)
        figures += calibrate_figures(report.curves, SHOWN_DRAFT_LENGTH)
    console.result(report)


def _show(console: Console, report: "CalibrationReport") -> None:
    from edgedraft.commands._show import show_curves, show_learning
    from edgedraft.exporter.pipeline.report import SHOWN_DRAFT_LENGTH

    show_curves(console, report.curves, draft_length=SHOWN_DRAFT_LENGTH)
    show_learning(console, report.learning_curve, report.enough.size)
    unseen = report.unseen_mass
    never = f"{unseen.value:.1%} [{unseen.low:.1%}–{unseen.high:.1%}]"
    console.say(f"Never seen, by Good and Turing: {never} of the domain's tokens.")
    console.say(f"Is it enough? {report.enough.sentence}")
    console.say(f"Positions that the trace cuts off: {report.cut_share:.2%}.")
