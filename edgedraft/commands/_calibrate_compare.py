"""edgedraft calibrate compare: how well the token list of one calibration serves the domain of another."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.calibration.saved import SavedCalibration
    from edgedraft.exporter.planning.comparison import Comparison, Domain

SIZES = (2048, 4096, 8192, 16384, 32768)
DRAFT_LENGTH = 3
_HEADER = ("draft vocabulary", "A covers of B", "B's own list", "τ with A", "B's own", "full", "A serves B")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of compare."""
    from edgedraft.commands._options import positive

    text = "saved by edgedraft calibrate --output, or counts by edgedraft calibrate count (without τ)"
    parser.add_argument("listed", type=Path, metavar="A", help=f"whose token list: {text}")
    parser.add_argument("judged", type=Path, metavar="B", help="whose domain: likewise")
    parser.add_argument("--vocab-size", type=positive, nargs="+", metavar="K", help="default: 2,048 to 32,768")
    text = f"default: {DRAFT_LENGTH}"
    parser.add_argument("--draft-length", type=positive, default=DRAFT_LENGTH, metavar="N", help=text)


def run(options: argparse.Namespace, console: Console) -> None:
    """Read both, compare size by size, and say whether A's list serves B."""
    from edgedraft.calibration.saved import load_calibration
    from edgedraft.exporter.planning.comparison import ComparisonSettings, compare
    from edgedraft.runtime.core.statistics import bootstrap_rng

    one, other = load_calibration(options.listed), load_calibration(options.judged)
    vocab_size = other.judged.vocab_size
    sizes = options.vocab_size or [size for size in SIZES if size < vocab_size] or [vocab_size]
    settings = ComparisonSettings(
        sizes=tuple(sizes),
        draft_length=options.draft_length,
        first_ids=other.end_token_ids or one.end_token_ids,
    )
    domains = [_domain(*each) for each in ((options.listed, one), (options.judged, other))]
    found = compare(domains[0], domains[1], settings, bootstrap_rng())
    console.table(_HEADER, [_row(each) for each in found])
    console.say(_verdict(found))
    console.result(found)


def _domain(path: Path, saved: "SavedCalibration") -> "Domain":
    from edgedraft.exporter.planning.comparison import Domain

    ranking = tuple(saved.ranking.values())
    return Domain(name=path.name, ranking=ranking, judged=saved.judged, trace=saved.trace)


def _row(found: "Comparison") -> tuple[str, ...]:
    scores = (found.listed, found.own, found.full)
    taus = ("–" if each.block_efficiency is None else f"{each.block_efficiency:.2f}" for each in scores)
    shares = (f"{each.coverage.value:.1%}" for each in scores[:2])
    return (f"{found.size:,}", *shares, *taus, "yes" if found.serves else "no")


def _verdict(found: "Sequence[Comparison]") -> str:
    """The sentence of the smallest list that serves, or of the largest when none does."""
    return next((each.sentence for each in found if each.serves), found[-1].sentence) + "."
