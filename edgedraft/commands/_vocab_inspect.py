"""edgedraft vocab inspect: what a token map is, in which convention, how large, and what is wrong with it."""

import argparse
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.exporter.vocab.checks import TokenizerCheck
    from edgedraft.exporter.vocab.vocab_map import VocabMap

SHOWN_IDS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of inspect."""
    from edgedraft.commands._vocab_options import add_map_arguments

    add_map_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Read the map, check it against the tokenizer where one was given, tell all."""
    from edgedraft.commands._vocab_options import map_of, tokens_of
    from edgedraft.exporter.vocab.checks import check_tokenizer

    tokens = tokens_of(options, console)
    found = map_of(options, tokens)
    if options.target_vocab_size is not None:
        found = found.with_vocab_size(options.target_vocab_size)
    checked = None if tokens is None else check_tokenizer(found, tokens)
    problems = (*found.problems, *(checked.problems if checked else ()))
    _show(console, found, checked)
    for problem in problems:
        console.say(f"Problem: {problem}.")
    if not problems:
        console.say("No problem was found.")
    console.result(
        {
            "file": str(options.file),
            "kind": found.kind,
            "convention": found.convention,
            "entries": found.entries,
            "draft_vocab_size": found.distinct,
            "target_vocab_size": found.target_vocab_size,
            "ascending": found.ascending,
            "first_ids": found.target_ids[:SHOWN_IDS].tolist(),
            "tokenizer": checked,
            "problems": problems,
        }
    )


def _show(console: Console, found: "VocabMap", checked: "TokenizerCheck | None") -> None:
    from edgedraft.exporter.vocab.kinds import KINDS

    order = "ascending" if found.ascending else "not ascending (in order of frequency, or of a head's rows)"
    size = "unknown" if found.target_vocab_size is None else f"{found.target_vocab_size:,}"
    ids = " ".join(map(str, found.target_ids[:SHOWN_IDS].tolist()))
    console.say(f"Kind: {found.kind} ({KINDS[found.kind].file})")
    console.say(f"Convention: {found.convention}; ids {order}: {ids}{' ...' if found.entries > SHOWN_IDS else ''}")
    console.say(f"Draft vocabulary: {found.distinct:,} tokens in {found.entries:,} entries; target's: {size}")
    if checked is not None:
        ends, missing = len(checked.end_token_ids), len(checked.missing_end_token_ids)
        console.say(
            f"Tokenizer: {checked.target_vocab_size:,} tokens; the map keeps {ends - missing} of {ends} "
            f"that end a turn and {checked.special_tokens_kept} of {checked.special_tokens} special tokens"
        )
