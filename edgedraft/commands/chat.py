"""edgedraft chat: a conversation with a bundle in the terminal."""

import argparse

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of chat."""
    from edgedraft.commands._options import add_answer_arguments, add_bundle_arguments

    add_bundle_arguments(parser)
    parser.add_argument("--system", metavar="TEXT", help="a system message to begin with")
    add_answer_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Read a line, answer it, until the input ends."""
    from edgedraft.commands._options import open_engine
    from edgedraft.commands.generate import show_answer

    engine = open_engine(options, console)
    messages = [{"role": "system", "content": options.system}] if options.system else []
    console.note("Write a line and press Enter; an empty line or Ctrl-D ends the chat.")
    while line := (console.read_line("" if console.as_json else "> ") or "").strip():
        messages.append({"role": "user", "content": line})
        prompt = engine.fit(messages, options.max_new_tokens)
        if prompt.dropped_messages:
            console.note(f"[the context is full: the oldest {prompt.dropped_messages} messages were left out]")
        answer = show_answer(engine, prompt.token_ids, options, console)
        messages.append({"role": "assistant", "content": answer.text})
    console.result({"messages": messages})
