"""The command line: find the command, run it, and turn errors into one line and an exit code."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from edgedraft import EdgedraftError, __version__
from edgedraft.commands._parser import CommandParser, add_common_arguments, parse
from edgedraft.commands.completion import complete
from edgedraft.console import Console, flush_output, prepare_streams
from edgedraft.logs import LOG, log_shown
from edgedraft.runtime.base.errors import naming_missing_extra

COMMANDS = {
    "quickstart": "do the whole job on a real pair of models and show what trimming gains here",
    "export": "calibrate, plan for this machine and write a bundle",
    "calibrate": "sample both models on your prompts and report coverage and acceptance",
    "plan": "choose draft vocabulary, draft length and precisions for a device, without writing a bundle",
    "trim": "give a bundle, or a drafter's ONNX folder, another draft vocabulary size in seconds",
    "generate": "answer one prompt with a bundle",
    "chat": "talk with a bundle",
    "serve": "serve a bundle to programs and editors, in OpenAI's protocol",
    "bench": "measure a bundle: target alone against speculation, interleaved",
    "tune": "choose on this device how a bundle drafts here, with the runtime alone, in about half a minute",
    "push": "upload a bundle to the Hugging Face hub, with its model card",
    "phone": "serve a bundle to a phone's browser: chat, probe and bench there, results come back",
    "devices": "list device profiles, measure this machine, check the latency priors",
    "vocab": "inspect and convert token maps of other engines, and write them from counts",
    "models": "list and fetch the packaged models",
    "kernels": "show which own kernels were built and which of them this CPU runs",
    "doctor": "check this installation: versions, providers, kernels, memory, and what is missing",
    "completion": "print a script that completes commands and options in a shell",
}

DONE, OUR_BUG, USER_ERROR, INTERRUPTED = 0, 1, 2, 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every command. Commands import nothing heavy until they run."""
    parser = CommandParser(prog="edgedraft", description="Speculative decoding that pays on laptops and phones.")
    parser.add_argument("--version", action="version", version=f"edgedraft {__version__}")
    parser.set_defaults(run=_help, parser=parser, json=False, verbose=False, extra="export")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        add_common_arguments(command)
        module = importlib.import_module(f"edgedraft.commands.{name}")
        module.add_arguments(command)
        command.set_defaults(run=module.run, parser=command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 our bug, 2 user error, 130 interrupted."""
    prepare_streams()
    console = Console()
    try:
        options = _parsed(arguments)
        console = Console(as_json=options.json)
        with log_shown(console.note, wanted=options.verbose), naming_missing_extra(options.extra):
            return _run(options, console)
    except EdgedraftError as error:
        return _refused(error)
    except KeyboardInterrupt:
        console.note("edgedraft: stopped - run the same command again to go on from here")
        return INTERRUPTED


def _run(options: argparse.Namespace, console: Console) -> int:
    try:
        options.run(options, console)
    except EdgedraftError:
        LOG.debug("this ended the command:", exc_info=True)
        raise
    return DONE


def _help(options: argparse.Namespace, console: Console) -> None:
    """Show the commands: what `edgedraft` alone does."""
    console.say(options.parser.format_help().rstrip())


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; flush help at once, so that a closed pipe is an error of one line."""
    parser = build_parser()
    complete(parser)
    try:
        return parse(parser, arguments)
    except SystemExit:
        flush_output()
        raise


def _refused(error: EdgedraftError) -> int:
    """Print an error in one line; return its exit code."""
    Console().note(f"edgedraft: {' '.join(str(error).split())}")
    return USER_ERROR


if __name__ == "__main__":
    sys.exit(main())
