"""edgedraft plan: choose for this machine without writing anything."""

import argparse

from edgedraft.console import Console

SHOWN_OPTIONS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of plan."""
    from edgedraft.commands._options import add_choice_arguments, add_pair_arguments

    add_pair_arguments(parser)
    add_choice_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Calibrate (or reuse), time, choose, show the best few."""
    from edgedraft.commands._options import cache_of
    from edgedraft.commands._show import show_options, show_plan
    from edgedraft.commands._stages import planned_pair

    stages = planned_pair(options, cache_of(options), console)
    show_options(console, stages.planned.options[:SHOWN_OPTIONS])
    show_plan(console, stages.planned.plan)
    console.result(stages.planned.plan)
