"""edgedraft push: a bundle to the Hugging Face hub, with its model card and, where they are given, measured speeds."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.exporter.bundle.card import MeasuredSpeeds
    from edgedraft.exporter.bundle.push import PushedBundle, Repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of push."""
    parser.add_argument("bundle", type=Path, help="a folder written by edgedraft export")
    parser.add_argument("repository", metavar="ORG/NAME", help="made where it does not exist yet")
    add_private_argument(parser)
    text = "what edgedraft bench --json told of this bundle: its card then shows measured speeds"
    parser.add_argument("--bench", type=Path, metavar="FILE", help=text)


def add_private_argument(parser: argparse.ArgumentParser) -> None:
    """Who may see a repository that is made."""
    parser.add_argument("--private", action="store_true", help="make the repository private")


def run(options: argparse.Namespace, console: Console) -> None:
    """Check, push, tell."""
    from edgedraft.exporter.bundle.push import Repository

    repository = Repository(name=options.repository, private=options.private)
    measured = _measured(options.bench, options.bundle) if options.bench else None
    console.result(pushed(options.bundle, repository, measured, console))


def pushed(
    bundle: Path, repository: "Repository", measured: "MeasuredSpeeds | None", console: Console
) -> "PushedBundle":
    """Push, and say where it is."""
    from edgedraft.exporter.bundle.push import push_bundle

    there = push_bundle(bundle, repository, measured, console.progress)
    console.say(f"Pushed {there.files} files, {there.bytes / 1e6:,.0f} MB: {there.url}")
    return there


def _measured(file: Path, bundle: Path) -> "MeasuredSpeeds":
    """The speeds in a file that bench wrote, which must be of this bundle's size."""
    from edgedraft.commands._measure import Measurement
    from edgedraft.exporter.bundle.card import MeasuredSpeeds
    from edgedraft.runtime.base.files import read_json
    from edgedraft.runtime.base.records import from_plain, require
    from edgedraft.runtime.bundle.reading import read_bundle

    told = from_plain(Measurement, read_json(file), str(file))
    size = read_bundle(bundle, verify_hashes=False).manifest.plan.draft_vocab_size
    rule = f"--bench {file}: expected a bench of this bundle, whose draft vocabulary has {size} tokens"
    require(told.draft_vocab_size == size, rule, got=told.draft_vocab_size, remedy=f"run edgedraft bench {bundle}")
    return MeasuredSpeeds(
        machine=told.machine.name, threads=told.threads, onnxruntime=told.onnxruntime, report=told.report
    )
