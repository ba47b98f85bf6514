"""edgedraft vocab inspect: what a token map is, in which convention, how large, and what is wrong with it."""

import argparse
from pathlib import Path

from edgedraft.console import Console

SHOWN_IDS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the map's file, and what the user knows about it."""
    from edgedraft.commands._options import positive
    from edgedraft.exporter.vocab.kinds import CONVENTIONS, KINDS

    parser.add_argument("file", type=Path, metavar="FILE", help="a token map; for d2t.npy with t2d.npy also a folder")
    text = f"what the file is, where its numbers fit two readings: {', '.join((*CONVENTIONS, *KINDS))}"
    parser.add_argument("--kind", choices=(*CONVENTIONS, *KINDS), metavar="KIND", help=text)
    text = "how many tokens the target's logits score, where the file does not say it"
    parser.add_argument("--target-vocab-size", type=positive, metavar="V", help=text)
    add_tokenizer_arguments(parser)


def add_tokenizer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the target's tokenizer, and the cache it may need."""
    from edgedraft.commands._options import add_cache_argument

    text = "the target's folder or hub id (tokenizer and config.json are enough)"
    parser.add_argument("--tokenizer", metavar="FOLDER", help=text)
    add_cache_argument(parser)


def add_kind_argument(parser: argparse.ArgumentParser) -> None:
    """Add the kind of file to write."""
    from edgedraft.exporter.vocab.kinds import KINDS, WRITABLE

    text = "; ".join(f"{name}: {KINDS[name].file}" for name in WRITABLE)
    parser.add_argument("--to", required=True, choices=WRITABLE, metavar="KIND", help=text)


def run(options: argparse.Namespace, console: Console) -> None:
    """Read the map, check it against the tokenizer where one was given, show all."""
    from edgedraft.commands._options import request_of
    from edgedraft.exporter.pipeline.vocab import InspectRequest, inspect_map
    from edgedraft.exporter.vocab.kinds import KINDS

    inspected = inspect_map(request_of(InspectRequest, options), console.progress)
    read, checked = inspected.vocab_map, inspected.tokenizer
    first_ids = read.target_ids[:SHOWN_IDS].tolist()
    order = "ascending" if read.ascending else "not ascending (in order of frequency, or of a head's rows)"
    size = "unknown" if read.target_vocab_size is None else f"{read.target_vocab_size:,}"
    ids = f"{' '.join(map(str, first_ids))}{' ...' if read.entries > SHOWN_IDS else ''}"
    console.say(f"Kind: {read.kind} ({KINDS[read.kind].file})")
    console.say(f"Convention: {read.convention}; ids {order}: {ids}")
    console.say(f"Draft vocabulary: {read.distinct:,} tokens in {read.entries:,} entries; target's: {size}")
    if checked is not None:
        ends, missing = len(checked.end_token_ids), len(checked.missing_end_token_ids)
        console.say(
            f"Tokenizer: {checked.target_vocab_size:,} tokens; the map keeps {ends - missing} of {ends} "
            f"that end a turn and {checked.special_tokens_kept} of {checked.special_tokens} special tokens"
        )
    for problem in inspected.problems:
        console.say(f"Problem: {problem}.")
    if not inspected.problems:
        console.say("No problem was found.")
    console.result(
        {
            "file": str(options.file),
            "kind": read.kind,
            "convention": read.convention,
            "entries": read.entries,
            "draft_vocab_size": read.distinct,
            "target_vocab_size": read.target_vocab_size,
            "ascending": read.ascending,
            "first_ids": first_ids,
            "tokenizer": checked,
            "problems": inspected.problems,
        }
    )
