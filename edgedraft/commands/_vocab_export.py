"""edgedraft vocab export: the most frequent tokens of the user's own domain, as a token map for another engine."""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of export."""
    from edgedraft.commands._options import positive
    from edgedraft.commands._vocab_inspect import add_kind_argument, add_tokenizer_arguments

    text = "what calibrate --output or calibrate count wrote, or speculators' token_freq.pt"
    parser.add_argument("counts", type=Path, metavar="CALIBRATION", help=text)
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write; for speculators a folder")
    add_kind_argument(parser)
    parser.add_argument("--vocab-size", type=positive, required=True, metavar="K", help="tokens to keep")
    add_tokenizer_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Write the map, and say what it covers."""
    from edgedraft.commands._options import request_of
    from edgedraft.exporter.pipeline.vocab import VocabExportRequest, export_map

    made, ranked = export_map(request_of(VocabExportRequest, options), console.progress)
    coverage, unseen = ranked.coverage(made.target_ids), ranked.unseen(made.target_ids)
    console.say(f"{options.output}: {made.entries:,} of {ranked.vocab_size:,} tokens as {options.to}")
    console.say(f"They hold {coverage:.2%} of the tokens of {ranked.judged_name}.")
    if unseen:
        console.say(f"{unseen:,} of them were never seen: they were taken by the smallest id.")
    console.result(
        {
            "output": str(options.output),
            "to": options.to,
            "draft_vocab_size": made.entries,
            "target_vocab_size": ranked.vocab_size,
            "end_token_ids": ranked.end_token_ids,
            "coverage": coverage,
            "never_seen": unseen,
        }
    )
