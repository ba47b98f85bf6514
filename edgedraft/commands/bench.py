"""edgedraft bench: is speculation worth it with this bundle, on this machine, on these prompts?"""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of bench."""
    from edgedraft.commands._options import add_bundle_arguments, positive

    add_bundle_arguments(parser)
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="JSON lines; the scoring half is used")
    parser.add_argument("-n", "--number", type=positive, default=8, metavar="N", help="prompts to run (default: 8)")
    parser.add_argument("--max-new-tokens", type=positive, default=128, metavar="N", help="per prompt (default: 128)")
    parser.add_argument("--draft-length", type=positive, metavar="N", help="default: the plan's")
    parser.add_argument(
        "--policy", action="append", default=[], metavar="NAME", help="policies beside fixed; default: adaptive"
    )
    parser.add_argument("--full-drafter", type=Path, metavar="FOLDER", help="untrimmed drafter (ONNX) to compare with")


def run(options: argparse.Namespace, console: Console) -> None:
    """Open, measure, show."""
    from edgedraft.calibration.data.samples import SCORE
    from edgedraft.calibration.prompts import read_prompts, shipped_prompts, take
    from edgedraft.commands._measure import full_drafter, measure
    from edgedraft.commands._options import open_engine
    from edgedraft.commands._show import show_measurement
    from edgedraft.runtime.core.policies import ADAPTIVE, FIXED, PolicyChoice

    for name in options.policy:
        PolicyChoice(name=name, draft_length=1)
    prompts = take(read_prompts(options.prompts) if options.prompts else shipped_prompts(), SCORE, options.number)
    engine = open_engine(options)
    full = full_drafter(options.full_drafter, engine) if options.full_drafter else None
    length = options.draft_length or engine.bundle.manifest.plan.draft_length
    choices = [PolicyChoice(name=name, draft_length=length) for name in (FIXED, *(options.policy or [ADAPTIVE]))]
    measurement = measure(engine, prompts, options.max_new_tokens, choices, full, console)
    show_measurement(console, measurement)
    console.result(measurement)
