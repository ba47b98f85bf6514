"""Are texts equal in exact mode, and what does it cost? Ways of drafting against the target alone, prompt by prompt.

    python tests/benchmarks/exact.py BUNDLE [--prompts N] [--control-prompts N] [--max-new-tokens N] [--threads N]

In exact mode every way of drafting must give the target's own text; if one does not, the exit status is 1. As a
control, the target also decodes alone without exact mode, or on ONNX Runtime's kernels where exact mode is free; some
of its texts then differ. The cost of exact mode is the ratio of the speeds with and without it, on the same prompts in
turn, for the target alone and with adaptive drafts.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgedraft.calibration.data.samples import SCORE
from edgedraft.calibration.prompts import shipped_prompts, take
from edgedraft.console import Console
from edgedraft.runtime.bench import Drafting, PromptRun, run_prompt, speed_ratio
from edgedraft.runtime.core.model import LanguageModel
from edgedraft.runtime.core.pass_times import PairPassTimes
from edgedraft.runtime.core.policies import PolicyChoice
from edgedraft.runtime.core.statistics import median_interval
from edgedraft.runtime.core.token_drafter import TokenSource
from edgedraft.runtime.core.verify import accepted_prefix
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.native.library import STOCK
from edgedraft.runtime.onnx.session import OnnxGraph

DRAFTS = {
    "fixed, 1 draft": PolicyChoice(name="fixed", draft_length=1),
    "fixed, 2 drafts": PolicyChoice(name="fixed", draft_length=2),
    "fixed, 4 drafts": PolicyChoice(name="fixed", draft_length=4),
    "n-gram or drafter": PolicyChoice(name="ngram-or-drafter", draft_length=3),
    "adaptive": PolicyChoice(name="adaptive", draft_length=1),
}
ALONE, ADAPTIVE, WITHOUT = "target alone", "adaptive", ", without exact mode"
PRICED = (ALONE, ADAPTIVE)


Way = tuple[LanguageModel, Drafting | None]


def ways_of(engine: Engine, exact: LanguageModel, inexact: LanguageModel, source: TokenSource) -> dict[str, Way]:
    """Return every way of decoding by its name; ways whose speeds are compared are adjacent."""

    def drafting(choice: PolicyChoice) -> Drafting:
        return Drafting(
            choice=choice,
            source=source,
            pass_times=PairPassTimes.planned(engine.plan),
            parameter_ratio=1.0,
            byte_ratio=1.0,
        )

    ways: dict[str, Way] = {ALONE: (exact, None), ALONE + WITHOUT: (inexact, None)}
    ways |= {name: (exact, drafting(choice)) for name, choice in DRAFTS.items()}
    return ways | {ADAPTIVE + WITHOUT: (inexact, drafting(DRAFTS[ADAPTIVE]))}


def on_stock_kernels(engine: Engine) -> LanguageModel:
    """Open the target again, on ONNX Runtime's own kernels."""
    settings = replace(engine.settings, kernels=STOCK, exact=False)
    return OnnxGraph(engine.bundle.target_graph, settings).new_model()


def difference(run: PromptRun, base: PromptRun) -> int | None:
    """Return the index of the first token at which two texts differ; None if they are equal."""
    return None if run.token_ids == base.token_ids else accepted_prefix(run.token_ids, base.token_ids)


def compared(runs: dict[str, list[PromptRun]]) -> str:
    """Report how the last prompt's texts compare with the target's own."""
    number = len(runs[ALONE])
    latest = {name: done[-1] for name, done in runs.items() if len(done) == number}
    places = {name: difference(run, latest[ALONE]) for name, run in latest.items()}
    return (
        ", ".join(f"{name} differs at token {place}" for name, place in places.items() if place is not None) or "equal"
    )


def price(runs: dict[str, list[PromptRun]], name: str) -> str:
    inexact = runs[name + WITHOUT]
    ratio = speed_ratio(runs[name][: len(inexact)], inexact)
    return f"{name}: {ratio.text(3, '×')} of the speed without exact mode"


def row(name: str, done: Sequence[PromptRun], base: Sequence[PromptRun]) -> tuple[str, str, str]:
    """Return a row of the table; the controls may have run on the first prompts alone."""
    speed = median_interval([run.tokens_per_second for run in done if run.statistics.rounds])
    equal = sum(difference(run, own) is None for run, own in zip(done, base[: len(done)], strict=True))
    return name, speed.text(1), f"{equal}/{len(done)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--control-prompts", type=int, help="prompts decoded without exact mode, too (default: all)")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    console = Console()
    engine = Engine.open(options.bundle, threads=options.threads, verify_hashes=False, exact=True)
    inexact = engine.inexact_target() or on_stock_kernels(engine)
    limits, chosen = engine.limits(options.max_new_tokens), take(shipped_prompts(), SCORE, options.prompts)
    with engine.slots.taken() as slot:
        ways = ways_of(engine, slot.target, inexact, slot.source)
        names, runs = [*ways], {name: list[PromptRun]() for name in ways}
        for number, prompt in enumerate(chosen):
            prompt_ids = engine.codec.encode_chat(prompt.messages)
            controlled = options.control_prompts is None or number < options.control_prompts
            for name in [each for each in names if controlled or not each.endswith(WITHOUT)][:: (1, -1)[number % 2]]:
                runs[name].append(run_prompt(*ways[name], prompt_ids, limits, time.perf_counter))
            console.note(f"prompt {number + 1} of {len(chosen)}: {compared(runs)}")
    console.table(
        ("way of decoding", "tokens/s", "equal to the target alone, exact"),
        [row(name, done, runs[ALONE]) for name, done in runs.items()],
    )
    for name in PRICED:
        console.say(price(runs, name))
    texts = {name: [run.token_ids for run in done] for name, done in runs.items()}
    return int(any(texts[name] != texts[ALONE] for name in names if not name.endswith(WITHOUT)))


if __name__ == "__main__":
    sys.exit(main())
