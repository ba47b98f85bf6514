"""edgedraft quickstart: the whole job on a real pair, ending with a table and a verdict."""

import argparse
from pathlib import Path

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of quickstart; all have defaults."""
    from edgedraft.commands._options import add_pair_arguments, positive
    from edgedraft.commands._plan_options import add_choice_arguments

    parser.add_argument("--output", type=Path, default=Path("quickstart-bundle"), help="default: ./quickstart-bundle")
    add_pair_arguments(parser)
    add_choice_arguments(parser)
    parser.add_argument("--bench-prompts", type=positive, default=8, metavar="N", help="default: 8")
    parser.add_argument("--bench-tokens", type=positive, default=64, metavar="N", help="new tokens each (default: 64)")


def run(options: argparse.Namespace, console: Console) -> None:
    """Fetch, convert, calibrate, plan, export, measure, draw."""
    from edgedraft.calibration.data.samples import SCORE
    from edgedraft.calibration.prompts import take
    from edgedraft.commands._measure import full_drafter, measure
    from edgedraft.commands._options import cache_of
    from edgedraft.commands._show import show_coverage, show_measurement, verdict
    from edgedraft.commands._show_plan import show_decision
    from edgedraft.commands._stages import planned_pair, written_bundle
    from edgedraft.exporter.bundle.writing import check_output
    from edgedraft.exporter.graph.providers import CPU
    from edgedraft.exporter.planning.figures import require_own_pictures
    from edgedraft.exporter.planning.pictures import curves, draw
    from edgedraft.runtime.core.policies import ADAPTIVE, FIXED, PolicyChoice
    from edgedraft.runtime.engine import Engine

    picture = options.output.with_name(f"{options.output.name}.png")
    check_output(options.output)
    require_own_pictures(picture)
    stages = planned_pair(options, cache_of(options), console)
    contents = written_bundle(stages, options.output, console)
    planned, plan = stages.planned, stages.planned.plan
    here = CPU if stages.device else stages.provider.name
    engine = Engine.open(options.output, verify_hashes=False, target_provider=here, drafter_provider=here)
    full = full_drafter(stages.planned.pair.drafter.path, engine)
    prompts = take(stages.prompts.prompts, SCORE, options.bench_prompts)
    choices = [PolicyChoice(name=name, draft_length=plan.draft_length) for name in (FIXED, ADAPTIVE)]
    measurement = measure(engine, prompts, options.bench_tokens, choices, full, console)
    drawn = curves(stages.calibration, planned.replayed, planned.order, plan.draft_length)
    draw(
        drawn,
        plan,
        f"{stages.planned.pair.drafter.source.name} drafting for {stages.planned.pair.target.source.name}",
        picture,
    )
    show_coverage(console, contents.calibration)
    show_decision(console, planned.decision)
    show_measurement(console, measurement)
    console.say(verdict(measurement))
    console.say(f"Picture: {picture}")
    console.say(f"Talk to it: edgedraft chat {options.output}")
    console.result({"plan": plan, "calibration": contents.calibration, "measurement": measurement, "curves": drawn})
