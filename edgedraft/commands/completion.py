"""edgedraft completion: a script that has the shell complete commands, options and files."""

import argparse
import os

from edgedraft.console import Console

_SHELLS = ("bash", "zsh", "fish")
_EXTRA = "completion"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    parser.add_argument(
        "shell", choices=_SHELLS, help='bash, zsh: eval "$(edgedraft completion bash)"; fish: … | source'
    )


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell where it asks for completions, and end the process; else do nothing."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Print the script."""
    from edgedraft.runtime.base.errors import naming_missing_extra

    with naming_missing_extra(_EXTRA):
        import argcomplete
    script = argcomplete.shellcode(["edgedraft"], shell=options.shell)
    console.say(script.strip())
    console.result({"shell": options.shell, "script": script})
