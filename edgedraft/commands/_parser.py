"""The parser of the command line: options that all commands share, and suggestions for mistyped names."""

import argparse
from collections.abc import Sequence
from typing import Any

from edgedraft.runtime.base.suggestions import did_you_mean


class CommandParser(argparse.ArgumentParser):
    """A parser that suggests the choice that a mistyped one probably means."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            guess = did_you_mean(str(value), map(str, action.choices or ()))
            if guess is None:
                raise
            listed = error.message.replace(" (choose from", f" - {guess} (choose from", 1)
            raise argparse.ArgumentError(action, listed) from None


def add_common_arguments(parser: argparse.ArgumentParser, **facts: Any) -> None:
    """Add the options of every command; ``facts`` are argparse's, such as a default."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON", **facts)
    text = "say what is done, and where an error comes from"
    parser.add_argument("-v", "--verbose", action="store_true", help=text, **facts)


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line; for an unknown option print the command's usage with the closest option, and exit."""
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        used: argparse.ArgumentParser = options.parser
        guess = (
            did_you_mean(unknown[0].partition("=")[0], used._option_string_actions) if unknown[0][:1] == "-" else None
        )
        used.error(f"unrecognized arguments: {' '.join(unknown)}" + (f" - {guess}" if guess else ""))
    return options
