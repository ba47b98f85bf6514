"""edgedraft vocab: token maps of other engines, inspected, converted, and made from our counts."""

import argparse

from edgedraft.commands import _vocab_convert, _vocab_export, _vocab_inspect
from edgedraft.console import Console

PARTS = {
    "inspect": (_vocab_inspect, "say what a token map is, in which convention, and what is wrong with it"),
    "convert": (_vocab_convert, "write a token map as another kind of file"),
    "export": (_vocab_export, "write the most wanted tokens of a calibration or of counts for another engine"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the parts of vocab."""
    from edgedraft.commands._options import add_parts

    add_parts(parser, PARTS, dest="part", required=True)


def run(options: argparse.Namespace, console: Console) -> None:
    """Run the part that was asked for."""
    PARTS[options.part][0].run(options, console)
