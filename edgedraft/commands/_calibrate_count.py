"""edgedraft calibrate count: the assistant's tokens of the user's own conversations, as counts of text."""

import argparse
from pathlib import Path

from edgedraft.console import Console

SHARDS, LARGE_MEGABYTES = 8, 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of count."""
    from edgedraft.commands._options import add_cache_argument, add_engine_arguments, positive
    from edgedraft.exporter.pipeline.requests import LOCAL, TARGET

    text = "JSON lines, Parquet, text, - for standard input, or a hub data set"
    parser.add_argument("data", metavar="DATA", help=text)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="where the counts go")
    text = "the model whose tokenizer and chat template count (default: %(default)s)"
    parser.add_argument("--target", default=TARGET, metavar="MODEL", help=text)
    parser.add_argument("--strict", action="store_true", help="stop at the first entry that cannot be read")
    text = "count the I-th of N parts only, from 1; edgedraft calibrate merge adds them"
    parser.add_argument("--shard", metavar="I/N", help=text)
    add_engine_arguments(parser)
    text = f"on this machine (default: one, and one a core for files above {LARGE_MEGABYTES} MB)"
    parser.add_argument("--processes", type=positive, metavar="N", help=text)
    text = "parts to hand out to several processes or workers (default: %(default)s)"
    parser.add_argument("--shards", type=positive, default=SHARDS, metavar="N", help=text)
    add_cache_argument(parser)
    parser.set_defaults(engine=LOCAL)


def run(options: argparse.Namespace, console: Console) -> None:
    """Count, or finish what was stopped; say what was left out."""
    from edgedraft.commands._options import request_of
    from edgedraft.commands._show import show_tally
    from edgedraft.exporter.pipeline.count import CountRequest, count

    tally = count(request_of(CountRequest, options), console.progress)
    console.result({"output": str(options.output), **show_tally(console, tally, options.output)})
