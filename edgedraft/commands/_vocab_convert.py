"""edgedraft vocab convert: a token map written as another kind of file, the same tokens in the same order."""

import argparse
from pathlib import Path

from edgedraft.commands import _vocab_inspect
from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of convert."""
    _vocab_inspect.add_arguments(parser)
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write; for speculators a folder")
    _vocab_inspect.add_kind_argument(parser)
    text = "drop repeated ids; with --tokenizer, add the ids that end a turn where they are missing"
    parser.add_argument("--repair", action="store_true", help=text)
    text = "put ids in ascending order; the rows of a head trained for the old order must then move too"
    parser.add_argument("--sort", action="store_true", help=text)


def run(options: argparse.Namespace, console: Console) -> None:
    """Convert, and say what the user should know about the file."""
    from edgedraft.commands._options import request_of
    from edgedraft.exporter.pipeline.vocab import ConvertRequest, convert_map

    done = convert_map(request_of(ConvertRequest, options), console.progress)
    converted = done.vocab_map
    convention = f"read as {converted.convention} ids of kind {converted.kind}"
    console.say(f"{options.output}: {converted.entries:,} tokens as {options.to}, {convention}")
    for sentence in done.notes:
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
            "notes": done.notes,
        }
    )
