"""edgedraft calibrate: sample both models on the prompts; count text, add counts, compare domains."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.commands import _calibrate_compare, _calibrate_count, _calibrate_merge
from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.calibration.counts import TokenCounts
    from edgedraft.calibration.sample_size.learning_curve import CurvePoint

SHOWN_DRAFT_LENGTH, SHOWN_SIZE = 3, 16384

PARTS = {
    "count": (_calibrate_count, "count the assistant's tokens in conversations or texts"),
    "merge": (_calibrate_merge, "add counts of shards"),
    "compare": (_calibrate_compare, "say how well one calibration's token list serves another's domain"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of calibrate, and its parts."""
    from edgedraft.commands._options import add_pair_arguments

    add_pair_arguments(parser)
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="save the calibration, for calibrate compare")
    parts = parser.add_subparsers(metavar="PART", help="instead of sampling a pair:")
    for name, (module, summary) in PARTS.items():
        part = parts.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        part.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print the result as JSON")
        module.add_arguments(part)
        part.set_defaults(run=module.run)


def run(options: argparse.Namespace, console: Console) -> None:
    """Calibrate, then show what every size would cover and accept on the held-out half."""
    from edgedraft.calibration.sample_size.sufficiency import judge_sufficiency, unseen_mass
    from edgedraft.calibration.saved import require_calibration_folder, save_calibration
    from edgedraft.commands._options import answer_settings, cache_of, open_pair, prompt_set
    from edgedraft.commands._show import show_curves, show_learning
    from edgedraft.exporter.pipeline.calibrating import calibrate_pair
    from edgedraft.exporter.planning.pair_plan import token_order
    from edgedraft.exporter.planning.pictures import curves
    from edgedraft.exporter.planning.replaying import replaying
    from edgedraft.runtime.core.statistics import bootstrap_rng

    if options.output:
        require_calibration_folder(options.output)
    prompts, cache, settings = prompt_set(options), cache_of(options), answer_settings(options)
    pair = open_pair(options, cache, console.progress)
    calibration = calibrate_pair(pair, prompts, cache, console.progress, settings)
    if options.output:
        save_calibration(options.output, calibration, pair.end_token_ids)
    order = token_order(pair, calibration)
    replayed = replaying(calibration.trace, order)
    drawn = curves(calibration, replayed, order, draft_length=SHOWN_DRAFT_LENGTH)
    show_curves(console, drawn, draft_length=SHOWN_DRAFT_LENGTH)
    ranked_by, size = next(iter(calibration.ranking.values())), min(SHOWN_SIZE, pair.vocab_size)
    judged = judge_sufficiency(ranked_by, size, pair.end_token_ids, bootstrap_rng())
    unseen = unseen_mass(ranked_by)
    points = _learning_points(ranked_by, size, pair.end_token_ids)
    show_learning(console, points, size)
    never = f"{unseen.value:.1%} [{unseen.low:.1%}–{unseen.high:.1%}]"
    console.say(f"Never seen, by Good and Turing: {never} of the domain's tokens.")
    console.say(f"Is it enough? {judged.sentence}")
    console.say(f"Positions that the trace cuts off: {calibration.trace.cut_share:.2%}.")
    console.result(
        {
            "curves": drawn,
            "cut_share": calibration.trace.cut_share,
            "enough": judged,
            "unseen_mass": unseen,
            "learning_curve": points,
        }
    )


def _learning_points(counts: "TokenCounts", size: int, first_ids: Sequence[int]) -> "tuple[CurvePoint, ...]":
    """Coverage by number of prompts; nothing where too few groups hold a token to leave one out."""
    from edgedraft.calibration.sample_size.learning_curve import filled_groups, learning_curve
    from edgedraft.runtime.core.statistics import bootstrap_rng

    return learning_curve(counts, size, first_ids, bootstrap_rng()).points if len(filled_groups(counts)) > 1 else ()
