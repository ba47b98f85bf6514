"""edgedraft vocab convert: a token map written as another kind of file, the same tokens in the same order."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.exporter.vocab.vocab_map import VocabMap


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of convert."""
    from edgedraft.commands._vocab_options import add_kind_argument, add_map_arguments

    add_map_arguments(parser)
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write; for speculators a folder")
    add_kind_argument(parser)
    text = "drop repeated ids; with --tokenizer, add the ids that end a turn where they are missing"
    parser.add_argument("--repair", action="store_true", help=text)
    text = "put ids in ascending order; the rows of a head trained for the old order must then move too"
    parser.add_argument("--sort", action="store_true", help=text)


def run(options: argparse.Namespace, console: Console) -> None:
    """Read, change only what was asked for, check, write."""
    from edgedraft.commands._vocab_options import map_of, tokens_of
    from edgedraft.exporter.vocab.kinds import EDGEDRAFT, KINDS
    from edgedraft.exporter.vocab.vocab_map import REPAIR
    from edgedraft.exporter.vocab.writing import write_vocab_map
    from edgedraft.runtime.base.records import require

    tokens = tokens_of(options, console)
    found = map_of(options, tokens)
    for size in (options.target_vocab_size, tokens.vocab_size if tokens else None):
        found = found if size is None else found.with_vocab_size(size)
    ends = tokens.end_token_ids if tokens else ()
    converted, changes = _changed(found, options, ends)
    missing = converted.missing(ends)
    rule = f"{options.file}: {KINDS[EDGEDRAFT].file} holds the ids that end a turn; this map lacks"
    require(not missing or options.to != EDGEDRAFT, rule, got=", ".join(map(str, missing)), remedy=REPAIR)
    write_vocab_map(options.output, converted, options.to)
    _show(console, options, converted, (*changes, *_told(found, options, missing)))


def _changed(found: "VocabMap", options: argparse.Namespace, ends: Sequence[int]) -> "tuple[VocabMap, list[str]]":
    """The map after --repair and --sort, and what they changed."""
    converted, told = found, []
    if options.repair:
        converted, added = found.repaired(ends), found.missing(ends)
        if found.entries > found.distinct:
            told.append(f"Dropped {found.entries - found.distinct} repeated ids.")
        if added:
            told.append(f"Added {', '.join(map(str, added))}, which end a turn.")
    if options.sort and not converted.ascending:
        converted = converted.sorted()
        told.append("Put the ids in ascending order: rows of a head trained for the old order must move too.")
    return converted, told


def _told(found: "VocabMap", options: argparse.Namespace, missing: Sequence[int]) -> list[str]:
    """What the user should know about the file that was written."""
    from edgedraft.exporter.vocab.kinds import KINDS

    told = []
    if missing:
        told.append(f"The map lacks {', '.join(map(str, missing))}: the drafter would never propose the end of a turn.")
    if KINDS[options.to].by_frequency and found.ascending:
        told.append(f"{KINDS[options.to].file} is in order of frequency; this map knows none, so ids ascend.")
    return told


def _show(console: Console, options: argparse.Namespace, converted: "VocabMap", told: Sequence[str]) -> None:
    convention = f"read as {converted.convention} ids of kind {converted.kind}"
    console.say(f"{options.output}: {converted.entries:,} tokens as {options.to}, {convention}")
    for sentence in told:
        console.say(sentence)
    console.result(
        {
            "input": str(options.file),
            "output": str(options.output),
            "from": converted.kind,
            "convention": converted.convention,
            "to": options.to,
            "draft_vocab_size": converted.entries,
            "target_vocab_size": converted.target_vocab_size,
            "notes": told,
        }
    )
