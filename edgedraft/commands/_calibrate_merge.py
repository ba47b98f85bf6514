"""edgedraft calibrate merge: the sum of counts, whatever their order."""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of merge."""
    parser.add_argument("counts", type=Path, nargs="+", metavar="FILE", help="counts of one source and one tokenizer")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="where their sum goes")


def run(options: argparse.Namespace, console: Console) -> None:
    """Read, add, write."""
    from edgedraft.calibration.counts_file import read_counts, write_counts
    from edgedraft.runtime.base.files import require_file_name

    require_file_name(options.output)
    first, *others = (read_counts(path) for path in options.counts)
    total = sum(others, start=first)
    write_counts(options.output, total)
    console.say(
        f"{options.output}: {total.tokens:,} tokens of {total.prompts:,} prompts from {len(options.counts)} files"
    )
    console.result({"output": str(options.output), "tokens": total.tokens, "prompts": total.prompts})
