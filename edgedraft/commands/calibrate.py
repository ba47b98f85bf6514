"""edgedraft calibrate: sample both models on the prompts and report coverage and acceptance by size."""

import argparse

from edgedraft.console import Console

SHOWN_DRAFT_LENGTH = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of calibrate."""
    from edgedraft.commands._options import add_pair_arguments

    add_pair_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Calibrate, then show what every size would cover and accept on the held-out half."""
    from edgedraft.commands._options import cache_of, open_pair, prompt_set
    from edgedraft.commands._show import show_curves
    from edgedraft.exporter.picture import curves
    from edgedraft.exporter.pipeline import calibrate_pair, token_order
    from edgedraft.exporter.ranking import ranks_of
    from edgedraft.exporter.replay import acceptance_windows

    prompts, cache = prompt_set(options), cache_of(options)
    pair = open_pair(options, cache, console.progress)
    calibration = calibrate_pair(pair, prompts, cache, console.progress)
    order = token_order(pair, calibration)
    windows = acceptance_windows(calibration.trace, ranks_of(order))
    drawn = curves(calibration.scoring, windows, order, draft_length=SHOWN_DRAFT_LENGTH)
    show_curves(console, drawn, draft_length=SHOWN_DRAFT_LENGTH)
    console.result(drawn)
