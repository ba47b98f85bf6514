"""edgedraft generate: answer one prompt, streaming, with what it took."""

import argparse
import sys
import time

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of generate."""
    from edgedraft.commands._options import add_answer_arguments, add_bundle_arguments

    add_bundle_arguments(parser)
    parser.add_argument("prompt", help="what to answer; - reads it from standard input")
    parser.add_argument("--raw", action="store_true", help="continue the text as it stands, without the chat template")
    add_answer_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Open the bundle and stream the answer."""
    from edgedraft.commands._answer import answer
    from edgedraft.commands._options import open_engine
    from edgedraft.runtime.base.records import require

    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    require(bool(prompt.strip()), "prompt: expected a text that is not empty", got=repr(prompt))
    engine = open_engine(options)
    messages = [{"role": "user", "content": prompt}]
    prompt_ids = engine.codec.encode(prompt) if options.raw else engine.codec.encode_chat(messages)
    result = answer(engine, prompt_ids, options, console, time.perf_counter)
    console.note(result.summary)
    console.result(result)
