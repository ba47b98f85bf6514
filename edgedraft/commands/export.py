"""edgedraft export: a bundle for this machine from a target, a drafter and prompts."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.exporter.bundle.push import Repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of export."""
    from edgedraft.commands._options import add_pair_arguments
    from edgedraft.commands._plan_options import add_choice_arguments
    from edgedraft.commands.push import add_private_argument

    parser.add_argument("output", type=Path, help="the bundle's folder")
    add_pair_arguments(parser)
    add_choice_arguments(parser)
    text = "push the bundle to this repository of the Hugging Face hub, as edgedraft push does"
    parser.add_argument("--push-to", metavar="ORG/NAME", help=text)
    add_private_argument(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Plan, write and, if asked, push."""
    from edgedraft.commands._options import cache_of
    from edgedraft.commands._show import show_coverage
    from edgedraft.commands._show_plan import show_decision
    from edgedraft.commands._stages import planned_pair, written_bundle
    from edgedraft.commands.push import pushed
    from edgedraft.exporter.bundle.writing import check_output

    check_output(options.output)
    repository = _repository(options)
    stages = planned_pair(options, cache_of(options), console)
    contents = written_bundle(stages, options.output, console)
    show_coverage(console, contents.calibration)
    show_decision(console, stages.planned.decision)
    console.say(f'Wrote {options.output}. Try: edgedraft generate {options.output} "Reverse a linked list in Python."')
    told = {"bundle": str(options.output), "plan": contents.plan, "calibration": contents.calibration}
    if repository is not None:
        told["pushed"] = pushed(options.output, repository, None, console)
    console.result(told)


def _repository(options: argparse.Namespace) -> "Repository | None":
    """Where to push, checked before minutes of work."""
    from edgedraft.runtime.base.records import require

    if options.push_to is None:
        require(not options.private, "--private: expected --push-to beside it")
        return None
    from edgedraft.exporter.bundle.push import Repository, require_token

    repository = Repository(name=options.push_to, private=options.private)
    require_token()
    return repository
