"""edgedraft calibrate compare: how well the token list of one calibration serves the domain of another."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.exporter.planning.comparison import Comparison

DRAFT_LENGTH = 3
_HEADER = (
    *("draft vocabulary", "A counted", "B counted", "A covers of B", "B's own list"),
    *("τ with A", "B's own", "full", "A serves B"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of compare."""
    from edgedraft.commands._options import positive

    text = "saved by edgedraft calibrate --output, or counts by edgedraft calibrate count (without τ)"
    parser.add_argument("listed", type=Path, metavar="A", help=f"whose token list: {text}")
    parser.add_argument("judged", type=Path, metavar="B", help="whose domain: likewise")
    parser.add_argument("--vocab-size", type=positive, nargs="+", metavar="K", help="default: 2,048 to 32,768")
    text = "default: %(default)s"
    parser.add_argument("--draft-length", type=positive, default=DRAFT_LENGTH, metavar="N", help=text)


def run(options: argparse.Namespace, console: Console) -> None:
    """Compare size by size, and say whether A's list serves B."""
    from edgedraft.commands._options import request_of
    from edgedraft.exporter.pipeline.report import CompareRequest, compare_calibrations

    compared = compare_calibrations(request_of(CompareRequest, options))
    console.table(_HEADER, [_row(each) for each in compared])
    # the smallest list that serves has the word, or the largest when none does
    sentence = next((each.sentence for each in compared if each.serves), compared[-1].sentence)
    console.say(f"{sentence}.")
    largest = compared[-1]
    counts = {options.listed.name: largest.listed_counted, options.judged.name: largest.own_counted}
    for name, counted in counts.items():
        rest = f"the other {largest.size - counted:,} are the smallest ids" if counted < largest.size else "all of them"
        console.say(f"{name}'s first {largest.size:,} tokens: {counted:,} were counted, {rest}.")
    console.result(compared)


def _row(compared: "Comparison") -> tuple[str, ...]:
    scores = (compared.listed, compared.own, compared.full)
    taus = ("–" if each.block_efficiency is None else f"{each.block_efficiency:.2f}" for each in scores)
    shares = (f"{each.coverage.value:.1%}" for each in scores[:2])
    counted = (f"{each:,}" for each in (compared.listed_counted, compared.own_counted))
    return (f"{compared.size:,}", *counted, *shares, *taus, "yes" if compared.serves else "no")
