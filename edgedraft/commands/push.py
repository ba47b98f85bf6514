"""edgedraft push: a bundle to the Hugging Face hub, with its model card and, where they are given, measured speeds."""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of push."""
    parser.add_argument("bundle", type=Path, help="a folder written by edgedraft export")
    parser.add_argument("repository", metavar="ORG/NAME", help="made where it does not exist yet")
    add_private_argument(parser)
    text = "what edgedraft bench --json told of this bundle: its card then shows measured speeds"
    parser.add_argument("--bench", type=Path, metavar="FILE", help=text)


def add_private_argument(parser: argparse.ArgumentParser) -> None:
    """Add who may see a repository that is made."""
    parser.add_argument("--private", action="store_true", help="make the repository private")


def run(options: argparse.Namespace, console: Console) -> None:
    """Push, and say where the bundle is."""
    from edgedraft.commands._options import request_of
    from edgedraft.commands._show import show_pushed
    from edgedraft.exporter.pipeline.push import PushRequest, push

    pushed = push(request_of(PushRequest, options), console.progress)
    show_pushed(console, pushed)
    console.result(pushed)
