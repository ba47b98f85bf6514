"""edgedraft plan: choose for this machine or another device without writing a bundle."""

import argparse

from edgedraft.console import Console

SHOWN_OPTIONS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of plan."""
    from edgedraft.commands._options import add_pair_arguments
    from edgedraft.commands._plan_options import add_choice_arguments

    add_pair_arguments(parser)
    add_choice_arguments(parser)
    parser.add_argument("--explain", action="store_true", help="show where each millisecond of a round goes")


def run(options: argparse.Namespace, console: Console) -> None:
    """Calibrate (or reuse), time or look up, choose, show the best few."""
    from edgedraft.commands._options import cache_of
    from edgedraft.commands._show_plan import show_decision, show_options, show_terms
    from edgedraft.commands._stages import planned_pair
    from edgedraft.exporter.planning.explain import explain

    planned = planned_pair(options, cache_of(options), console).planned
    decision, best = planned.decision, planned.decision.best
    show_options(console, decision.weighed.leaders()[:SHOWN_OPTIONS])
    outcome = planned.replayed(best.draft_vocab_size, best.draft_length)
    terms = explain(planned.latency, outcome, best.draft_vocab_size, best.draft_length)
    if options.explain:
        show_terms(console, terms, best.block_efficiency)
    show_decision(console, decision)
    console.result(
        {
            "plan": decision.plan,
            "certainty": decision.certainty,
            "runner_up": decision.runner_up,
            "gives_up": decision.gives_up,
            "round": terms,
        }
    )
