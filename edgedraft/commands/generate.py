"""edgedraft generate: answer one prompt, streaming, and show speed and counts."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgedraft.console import Console, read_input

if TYPE_CHECKING:
    from edgedraft.runtime.engine import Engine
    from edgedraft.runtime.text.streaming import Answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of generate."""
    from edgedraft.commands._options import add_answer_arguments, add_bundle_arguments

    add_bundle_arguments(parser)
    parser.add_argument("prompt", help="what to answer; - reads it from standard input")
    parser.add_argument("--raw", action="store_true", help="continue the text as it stands, without the chat template")
    add_answer_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Open the bundle and stream the answer."""
    from edgedraft.commands._options import decoding_options, open_engine
    from edgedraft.runtime.base.records import require
    from edgedraft.runtime.text.characters import decoded, well_formed

    prompt = decoded(read_input()) if options.prompt == "-" else well_formed(options.prompt)
    require(options.json or not options.log_probs, "--log-probs: shown in JSON only", remedy="add --json")
    require(bool(prompt.strip()), "prompt: expected a text that is not empty", got=repr(prompt))
    decoding_options(options)  # mistakes are said before a bundle is opened
    engine = open_engine(options, console)
    messages = [{"role": "user", "content": prompt}]
    prompt_ids = engine.codec.encode_prompt(prompt) if options.raw else engine.codec.encode_chat(messages)
    answer = show_answer(engine, prompt_ids, options, console)
    console.result(
        {
            "text": answer.text,
            "token_ids": answer.token_ids,
            "log_probs": answer.log_probs,
            "first_token_seconds": answer.usage.first_token_seconds,
            "tokens_per_second": answer.usage.tokens_per_second,
            "statistics": answer.usage.statistics,
            "exactness": engine.exactness,
        }
    )


def show_answer(engine: "Engine", prompt_ids: Sequence[int], options: argparse.Namespace, console: Console) -> "Answer":
    """Stream one answer to the console, and note what it took."""
    from edgedraft.commands._options import decoding_options
    from edgedraft.runtime.talk.state import answer_line
    from edgedraft.runtime.text.streaming import joined

    pieces = []
    asked = decoding_options(options)
    for piece in engine.pieces(prompt_ids, max_new_tokens=options.max_new_tokens, stop=options.stop, options=asked):
        pieces.append(piece)
        console.piece(piece.text)
    console.say()
    answer = joined(pieces)
    console.note(f"[{answer_line(answer.usage)}; {engine.exactness.label}]")
    return answer
