"""edgedraft plan: choose for this machine or another device without writing a bundle."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.commands import _plan_balanced, _plan_mbsu
from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.exporter.planning.joint_search import JointSearch
    from edgedraft.exporter.planning.scoring import Option

SHOWN_OPTIONS = 8
DEVICE, MBSU, BALANCED = METHODS = ("device", "mbsu", "balanced")

_OF_DEVICE = (
    *("vocab", "vocab_kind", "memory_budget", "max_divergence", "device", "provider", "calibration"),
    *("explain", "pictures", "trials", "storage"),
)
_PASSED_OVER = {
    DEVICE: _plan_balanced.OPTIONS,
    MBSU: ("min_coverage", *_OF_DEVICE, *_plan_balanced.OPTIONS),
    BALANCED: ("vocab_size", "draft_length", *_OF_DEVICE),
}
"""Options, by the name of their value, that a method has no use for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of plan."""
    from edgedraft.commands._options import add_pair_arguments, positive
    from edgedraft.commands._plan_options import add_choice_arguments

    text = (
        f"{DEVICE}: the most tokens per second on the device, by replayed answers and what passes cost; "
        f"{MBSU}: VocabTrim's modelled speed-up; {BALANCED}: coverage against draft latency (default: {DEVICE})"
    )
    parser.add_argument("--method", choices=METHODS, default=DEVICE, help=text)
    add_pair_arguments(parser)
    add_choice_arguments(parser)
    text = "plan from a folder that calibrate --output wrote, on whatever machine, instead of sampling here"
    parser.add_argument("--calibration", type=Path, metavar="FOLDER", help=text)
    parser.add_argument("--explain", action="store_true", help="show where each millisecond of a round goes")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write the plan's pictures, PNG and SVG")
    text = "also search with N trials of TPE, and compare with the scan"
    parser.add_argument("--trials", type=positive, metavar="N", help=text)
    text = "keep trials here, so that a search goes on where it was (default: memory)"
    parser.add_argument("--storage", type=Path, metavar="FILE", help=text)
    _plan_balanced.add_arguments(parser)
    every = {name for names in _PASSED_OVER.values() for name in names}
    parser.set_defaults(not_given={name: parser.get_default(name) for name in every})


def run(options: argparse.Namespace, console: Console) -> None:
    """Choose by the method that was asked for."""
    _require_used(options)
    methods = {DEVICE: _run_device, MBSU: _plan_mbsu.run, BALANCED: _plan_balanced.run}
    methods[options.method](options, console)


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
    """Calibrate (or reuse), time or look up, choose, show the best few."""
    from edgedraft.commands._options import cache_of
    from edgedraft.commands._show_plan import show_decision, show_options, show_terms
    from edgedraft.commands._stages import planned_pair
    from edgedraft.exporter.planning.joint_search import search_jointly
    from edgedraft.exporter.planning.search import SearchSettings
    from edgedraft.exporter.planning.views import explain

    stages = planned_pair(options, cache_of(options), console)
    planned = stages.planned
    decision, best, searched = planned.decision, planned.decision.best, None
    show_options(console, decision.scored.best_per_length()[:SHOWN_OPTIONS])
    outcome = planned.replayed(best.draft_vocab_size, best.draft_length)
    terms = explain(planned.latency, outcome, best.draft_vocab_size, best.draft_length)
    if options.explain:
        show_terms(console, terms, best.block_efficiency)
    if options.trials:
        settings = SearchSettings(trials=options.trials, storage=options.storage)
        searched = search_jointly(decision.scored, settings, console.progress)
        console.say(_compared(searched, next(decision.scored.ranked())))
    show_decision(console, decision)
    if stages.device is not None:
        console.say(stages.device.forecast.basis)
    if options.pictures:
        from edgedraft.exporter.planning.pictures import draw_plan

        for file in draw_plan(planned, stages.calibration, options.pictures):
            console.say(f"Picture: {file}")
    console.result(
        {
            "plan": decision.plan,
            "certainty": decision.uncertainty,
            "runner_up": decision.runner_up,
            "gives_up": decision.gives_up,
            "round": terms,
            "search": searched,
        }
    )


def _compared(searched: "JointSearch", scanned: "Option") -> str:
    """How near the search came to the scan."""
    if searched.best is None:
        return f"TPE: none of {searched.trials} trials kept to the limits."
    best = searched.best
    return (
        f"TPE: {searched.trials} trials reach {best.tokens_per_second:.1f} tokens/s, "
        f"{best.tokens_per_second / scanned.tokens_per_second:.2%} of the scan's best "
        f"({best.draft_vocab_size:,} draft tokens, draft length {best.draft_length}); "
        f"{len(searched.front)} points trade speed for memory."
    )
