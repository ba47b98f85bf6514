"""edgedraft chat: a conversation with a bundle in the terminal."""

import argparse

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of chat."""
    from edgedraft.commands._options import add_answer_arguments, add_bundle_arguments

    add_bundle_arguments(parser)
    parser.add_argument("--system", metavar="TEXT", help="a system message to begin with")
    text = "colour the tokens that the drafter proposed (default: on a terminal, unless NO_COLOR is set)"
    parser.add_argument("--marks", action=argparse.BooleanOptionalAction, help=text)
    add_answer_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Open the bundle and talk until the input ends."""
    from edgedraft.commands._chat_loop import ChatLoop
    from edgedraft.commands._options import decoding_options, open_engine
    from edgedraft.runtime.base.records import require

    require(not options.log_probs, "--log-probs: chat shows none", remedy="use edgedraft generate --json")
    decoding_options(options)  # mistakes are said before a bundle is opened
    engine = open_engine(options, console)
    chat = ChatLoop(engine, options, console)
    if console.interactive:
        console.note('/help lists commands, """ begins several lines, Ctrl-D ends the chat.')
    else:
        console.note("Write a line and press Enter; an empty line or Ctrl-D ends the chat.")
    console.note(f"[texts: {engine.exactness.label}]")
    chat.run()
    console.result({"messages": chat.talk.messages})
