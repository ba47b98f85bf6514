"""edgedraft plan: choose for this machine or another device without writing a bundle."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.commands import _plan_balanced
from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.exporter.pipeline.plan import PlanReport
    from edgedraft.exporter.planning.joint_search import JointSearch
    from edgedraft.exporter.planning.scoring import Option

SHOWN_OPTIONS = 8
DEVICE, MBSU, BALANCED = METHODS = ("device", "mbsu", "balanced")

_OF_DEVICE = (
    *("vocab", "vocab_kind", "memory_budget", "max_divergence", "device", "provider", "calibration"),
    *("conversation_rows", "explain", "pictures", "trials", "storage"),
)
_PASSED_OVER = {
    DEVICE: _plan_balanced.OPTIONS,
    MBSU: ("min_coverage", *_OF_DEVICE, *_plan_balanced.OPTIONS),
    BALANCED: ("vocab_size", "draft_length", *_OF_DEVICE),
}
"""Options, by the name of their value, that a method has no use for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of plan."""
    from edgedraft.commands._options import add_pair_arguments, add_report_argument, positive, set_defaults
    from edgedraft.commands._plan_options import add_choice_arguments
    from edgedraft.exporter.pipeline.requests import PlanRequest

    text = (
        f"{DEVICE}: the most tokens per second on the device, by replayed answers and what passes cost; "
        f"{MBSU}: VocabTrim's modelled speed-up; {BALANCED}: coverage against draft latency (default: {DEVICE})"
    )
    parser.add_argument("--method", choices=METHODS, default=DEVICE, help=text)
    add_pair_arguments(parser)
    add_choice_arguments(parser)
    text = "plan from a folder that calibrate --output wrote, on whatever machine, instead of sampling here"
    parser.add_argument("--calibration", type=Path, metavar="FOLDER", help=text)
    add_report_argument(parser)
    parser.add_argument("--explain", action="store_true", help="show where each millisecond of a round goes")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write the plan's pictures, PNG and SVG")
    text = "also search with N trials of TPE, and compare with the scan"
    parser.add_argument("--trials", type=positive, metavar="N", help=text)
    text = "keep trials here, so that a search goes on where it was (default: memory)"
    parser.add_argument("--storage", type=Path, metavar="FILE", help=text)
    _plan_balanced.add_arguments(parser)
    set_defaults(parser, PlanRequest)
    every = {name for names in _PASSED_OVER.values() for name in names}
    parser.set_defaults(not_given={name: parser.get_default(name) for name in every})


def run(options: argparse.Namespace, console: Console) -> None:
    """Choose by the method that was asked for."""
    from edgedraft.exporter.pages.writing import reporting

    _require_used(options)
    if options.method == DEVICE:
        _run_device(options, console)
        return
    with reporting(options.report, f"edgedraft plan --method {options.method}", console.recording, console.note):
        (_run_mbsu if options.method == MBSU else _plan_balanced.run)(options, console)


def _require_used(options: argparse.Namespace) -> None:
    """Raise where an option was given that the method would pass over in silence."""
    from edgedraft.runtime.base.errors import EdgedraftError

    given = [name for name in _PASSED_OVER[options.method] if getattr(options, name) != options.not_given[name]]
    if given:
        users = [method for method in METHODS if given[0] not in _PASSED_OVER[method]]
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        remedy = f"leave it out, or take --method {users[0]}"
        raise EdgedraftError(f"--method {options.method} has no use for {flags}", remedy=remedy)


def _run_device(options: argparse.Namespace, console: Console) -> None:
    """Plan for the device and show the result."""
    from edgedraft.commands._options import request_of
    from edgedraft.exporter.pages.plan_page import plan_figures
    from edgedraft.exporter.pages.writing import reporting
    from edgedraft.exporter.pipeline.plan import plan
    from edgedraft.exporter.pipeline.requests import PlanRequest

    request = request_of(PlanRequest, options)
    with reporting(options.report, f"edgedraft plan {request.target}", console.recording, console.note) as figures:
        report = plan(request, console.progress, console.note)
        _show_device(report, options, console)
        figures += plan_figures(report.decision)
    decision = report.decision
    console.result(
        {
            "plan": decision.plan,
            "drafters": report.drafters,
            "certainty": decision.uncertainty,
            "runner_up": decision.runner_up,
            "gives_up": decision.gives_up,
            "round": report.terms,
            "search": report.searched,
        }
    )


def _show_device(report: "PlanReport", options: argparse.Namespace, console: Console) -> None:
    """Show the best few options, the decision, and what else was asked for."""
    from edgedraft.commands._show_plan import show_decision, show_drafters, show_options, show_terms

    decision = report.decision
    show_options(console, decision.scored.best_per_length()[:SHOWN_OPTIONS])
    show_drafters(console, report.drafters)
    if options.explain:
        show_terms(console, report.terms, decision.best.block_efficiency)
    if report.searched is not None:
        console.say(_compared(report.searched, next(decision.scored.ranked())))
    show_decision(console, decision)
    if report.basis is not None:
        console.say(report.basis)
    for file in report.pictures:
        console.say(f"Picture: {file}")


def _run_mbsu(options: argparse.Namespace, console: Console) -> None:
    """Show the best few options by VocabTrim's modelled memory-bound speed-up."""
    from edgedraft.commands._options import request_of
    from edgedraft.exporter.pipeline.plan import plan_by_mbsu
    from edgedraft.exporter.pipeline.requests import PlanRequest

    result = plan_by_mbsu(request_of(PlanRequest, options), console.progress, console.note)
    rows = [
        (
            f"{each.draft_vocab_size:,}",
            str(each.draft_length),
            f"{each.cost_ratio:.4f}",
            f"{each.block_efficiency:.3f}",
            f"{each.mbsu:.3f}",
        )
        for each in result.options[:SHOWN_OPTIONS]
    ]
    console.table(("draft vocabulary", "draft length", "c, parameters", "τ", "modelled MBSU"), rows)
    size, length = result.best.draft_vocab_size, result.best.draft_length
    console.say(
        f"MBSU: {size:,} draft tokens, draft length {length}: {result.best.mbsu:.3f}. "
        "The model takes verification as free: --method device knows what it costs."
    )
    console.say(f"To export it: edgedraft export FOLDER --vocab-size {size} --draft-length {length}")
    console.result(result)


def _compared(searched: "JointSearch", scanned: "Option") -> str:
    """Say how near the search came to the scan."""
    if searched.best is None:
        return f"TPE: none of {searched.trials} trials kept to the limits."
    best = searched.best
    return (
        f"TPE: {searched.trials} trials reach {best.tokens_per_second:.1f} tokens/s, "
        f"{best.tokens_per_second / scanned.tokens_per_second:.2%} of the scan's best "
        f"({best.draft_vocab_size:,} draft tokens, draft length {best.draft_length}); "
        f"{len(searched.front)} points trade speed for memory."
    )
