"""edgedraft calibrate merge: the sum of counts, whatever their order."""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of merge."""
    parser.add_argument("counts", type=Path, nargs="+", metavar="FILE", help="counts of one source and one tokenizer")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="where their sum goes")


def run(options: argparse.Namespace, console: Console) -> None:
    """Add, and say what the sum holds."""
    from edgedraft.exporter.pipeline.count import merge_counts

    total = merge_counts(tuple(options.counts), options.output)
    files = len(options.counts)
    console.say(f"{options.output}: {total.tokens:,} tokens of {total.prompts:,} prompts from {files} files")
    console.result({"output": str(options.output), "tokens": total.tokens, "prompts": total.prompts})
