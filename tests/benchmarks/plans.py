"""Do plans keep their promise? Predicted against measured tokens per second of many plans, interleaved.

    python tests/benchmarks/plans.py [--target-precisions int4 int8] [--sizes 4096 32768 0] [--lengths 1 3]

Every held-out prompt is decoded by each plan and by each target alone, in turn; twice a prompt the steps that these
plans take are timed, and a prompt is predicted from its own: what a pass costs, and a second row of it, drifts by the
minute with the machine's neighbours. A prediction replays the trace of the prompts that are measured. What was measured
is the prediction times the median over prompts of measured over predicted: a burst of other work during one prompt does
not count. Size 0 is the whole vocabulary.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from edgedraft.calibration.prompts import shipped_prompts
from edgedraft.console import Console, markdown_table
from edgedraft.devices.machine import this_machine, usable_cores
from edgedraft.devices.steps import DRAFTER, StepCase, StepTime, measure_steps
from edgedraft.exporter.cache import cache_folder
from edgedraft.exporter.calibrating import PromptSet, calibrate_pair
from edgedraft.exporter.pair import Pair, PairRequest, prepare_pair
from edgedraft.exporter.planning.costs import StepCosts
from edgedraft.exporter.planning.pair_plan import token_order
from edgedraft.exporter.planning.pair_steps import PairSteps, step_cases
from edgedraft.exporter.planning.planner import WORTHWHILE_SPEED_UP
from edgedraft.exporter.planning.ranking import index_map
from edgedraft.exporter.planning.replaying import Replaying, replaying
from edgedraft.exporter.planning.weighing import predicted_seconds
from edgedraft.exporter.trimming.trimmed import open_trimmed
from edgedraft.runtime.adaptive import Pace
from edgedraft.runtime.bench import Drafting, PromptRun, run_prompt
from edgedraft.runtime.files import write_json
from edgedraft.runtime.generation import Limits
from edgedraft.runtime.index_map import IndexMap
from edgedraft.runtime.model import LanguageModel
from edgedraft.runtime.pace import PassTimes
from edgedraft.runtime.policies import FIXED, PolicyChoice
from edgedraft.runtime.records import to_plain
from edgedraft.runtime.session import SessionSettings, onnxruntime_version

CONTEXT_TOKENS, STEP_TURNS, STEPS_A_PROMPT = 128, 4, 2
UNUSED_PACE = Pace(target=PassTimes((1.0,)), drafter=PassTimes((1.0,)), acceptance_rate=0.5)


@dataclass(frozen=True, kw_only=True, eq=False)
class Way:
    """A plan of a pair, or with draft length 0 its target alone."""

    pair: Pair
    size: int
    length: int
    drafting: Drafting | None

    @property
    def name(self) -> str:
        if not self.length:
            return f"{self.pair.target.precision}, alone"
        return f"{self.pair.target.precision}, K {self.size:,}, {self.length} drafts"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One plan: tokens per second promised and kept, and those of its target alone."""

    way: str
    predicted: float
    measured: float
    predicted_speed_up: float
    measured_speed_up: float

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1

    @property
    def right(self) -> bool:
        """Whether the verdict is."""
        predicted, measured = (
            ratio - WORTHWHILE_SPEED_UP for ratio in (self.predicted_speed_up, self.measured_speed_up)
        )
        return (predicted >= 0) == (measured >= 0)


def drafting(drafter: LanguageModel, kept: IndexMap, length: int) -> Drafting:
    choice = PolicyChoice(name=FIXED, draft_length=length)
    return Drafting(
        choice=choice, drafter=drafter, index_map=kept, pace=UNUSED_PACE, parameter_ratio=1.0, byte_ratio=1.0
    )


class Bench:
    """Pairs with one drafter precision, their plans, and what was measured of them."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        self.console, self.options = console, options
        settings = SessionSettings(threads=options.threads, context_length=1024)
        self.pairs = [
            prepare_pair(
                PairRequest(
                    target=options.target,
                    drafter=options.drafter,
                    target_precision=precision,
                    drafter_precision="int4",
                    settings=settings,
                ),
                cache_folder(),
                console.progress,
            )
            for precision in options.target_precisions
        ]
        prompts = PromptSet(name="coding", prompts=shipped_prompts(), max_new_tokens=options.max_new_tokens)
        halves = prompts.at_most(None)  # as the commands do, so that their calibrations are used
        self.calibrations = [calibrate_pair(pair, halves, cache_folder(), console.progress) for pair in self.pairs]
        self.order = token_order(self.pairs[0], self.calibrations[0])
        self.ways = self._ways()
        self.runs: dict[str, list[PromptRun]] = {way.name: [] for way in self.ways}
        self.steps: list[list[list[StepTime]]] = []

    def _ways(self) -> list[Way]:
        first = self.pairs[0]
        sizes = [size or first.vocab_size for size in self.options.sizes]
        kept = {size: index_map(self.order, size) for size in sizes}
        drafters = {
            size: first.drafter_model if size == first.vocab_size else open_trimmed(first, kept[size]) for size in sizes
        }
        found = []
        for pair in self.pairs:
            found.append(Way(pair=pair, size=0, length=0, drafting=None))
            for size, length in product(sizes, self.options.lengths):
                way = drafting(drafters[size], kept[size], length)
                found.append(Way(pair=pair, size=size, length=length, drafting=way))
        return found

    def run(self) -> None:
        """Prompt by prompt: every way in a turning order, with steps timed in the midst of them and after them."""
        answers = self.calibrations[0].scoring_answers[: self.options.prompts]
        models, cases = self._step_cases()
        context = [token for entry in answers for token in (*entry.prompt_ids, *entry.token_ids)][:CONTEXT_TOKENS]
        often = len(self.ways) // STEPS_A_PROMPT
        for turn, entry in enumerate(answers):
            self.steps.append([])
            for place in range(len(self.ways)):
                self._decode(self.ways[(turn + place) % len(self.ways)], entry.prompt_ids)
                if (place + 1) % often == 0:
                    self.steps[-1].append(measure_steps(models, cases, context, time.perf_counter, STEP_TURNS))
                self.console.progress("plans run", turn * len(self.ways) + place + 1, len(answers) * len(self.ways))

    def _decode(self, way: Way, prompt_ids: Sequence[int]) -> None:
        limits = Limits(max_new_tokens=self.options.max_new_tokens, end_token_ids=way.pair.end_token_ids)
        run = run_prompt(way.pair.target_model, way.drafting, prompt_ids, limits, time.perf_counter)
        self.runs[way.name].append(run)

    def _step_cases(self) -> tuple[dict[str, LanguageModel], list[StepCase]]:
        """Only the rows that these plans verify."""
        models, cases = step_cases(self.pairs, self.order)
        rows = {1, *(length + 1 for length in self.options.lengths)}
        return models, [case for case in cases if case.role == DRAFTER or case.rows in rows]

    def timed(self, prompt: int) -> PairSteps:
        """The steps' medians around a prompt."""
        merged = tuple(
            replace(same[0], **{key: statistics.median(getattr(s, key) for s in same) for key in _SECONDS})
            for same in zip(*self.steps[prompt], strict=True)
        )
        return PairSteps(
            machine=this_machine(), threads=self.options.threads, onnxruntime=onnxruntime_version, steps=merged
        )

    def judged(self) -> list[Judged]:
        """Every plan's promise beside what it kept."""
        steps, found = [self.timed(prompt) for prompt in range(len(self.steps))], []
        for pair, calibration in zip(self.pairs, self.calibrations, strict=True):
            costs = [each.latency(pair).costs for each in steps]
            ones = np.array([each.target(1) for each in costs])
            replayed = replaying(calibration.trace, self.order)
            alone = next(way for way in self.ways if way.pair is pair and not way.length)
            plain = np.array([run.tokens_per_second for run in self.runs[alone.name]]) * ones
            for way in (way for way in self.ways if way.pair is pair and way.length):
                seconds, tokens = promised(replayed, way, costs)
                predicted, speed_up = tokens.sum() / seconds.sum(), (tokens * ones).sum() / seconds.sum()
                kept = np.array([run.tokens_per_second for run in self.runs[way.name]]) * seconds / tokens
                found.append(
                    Judged(
                        way=way.name,
                        predicted=float(predicted),
                        measured=float(predicted * np.median(kept)),
                        predicted_speed_up=float(speed_up),
                        measured_speed_up=float(speed_up * np.median(kept / plain)),
                    )
                )
        return found


_SECONDS = ("seconds", "seconds_low", "seconds_high")


def promised(replayed: Replaying, way: Way, costs: Sequence[StepCosts]) -> tuple[np.ndarray, np.ndarray]:
    """Predicted seconds, each prompt's by its own costs, and tokens."""
    outcome = replayed(way.size, way.length)
    seconds = [predicted_seconds(outcome, way.size, way.length, own)[i] for i, own in enumerate(costs)]
    return np.array(seconds), outcome.tokens[: len(costs)]


def speed(runs: Sequence[PromptRun]) -> float:
    """Measured tokens per second, the median over prompts."""
    return statistics.median(run.tokens_per_second for run in runs)


def told(judged: Sequence[Judged], best_measured: Judged, picked: Judged) -> list[str]:
    errors = [abs(each.error) for each in judged]
    return [
        f"{len(judged)} plans: median error {np.median(errors):.1%}, worst {max(errors):.1%}; "
        f"verdicts right: {sum(each.right for each in judged)} of {len(judged)}",
        f"picked {picked.way}: {picked.measured:.1f} tokens/s measured, {picked.measured / best_measured.measured:.1%} "
        f"of the best measured ({best_measured.way})",
    ]


def main() -> None:
    """Print a row a plan, and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--drafter", default="qwen2.5-coder-0.5b-instruct")
    parser.add_argument("--target-precisions", nargs="+", default=["int4", "int8"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[4096, 32768, 0])
    parser.add_argument("--lengths", nargs="+", type=int, default=[1, 3])
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--json", type=Path, metavar="FILE")
    console = Console()
    bench = Bench(parser.parse_args(), console)
    bench.run()
    judged = bench.judged()
    header = ("plan", "predicted", "measured", "error", "predicted ÷ plain", "measured ÷ plain", "verdict")
    rows = [
        (
            each.way,
            f"{each.predicted:.1f}",
            f"{each.measured:.1f}",
            f"{each.error:+.1%}",
            f"{each.predicted_speed_up:.2f}",
            f"{each.measured_speed_up:.2f}",
            "right" if each.right else "wrong",
        )
        for each in judged
    ]
    console.say("\n".join(markdown_table(header, rows)))
    for way in (way for way in bench.ways if not way.length):
        console.say(f"{way.name}: {speed(bench.runs[way.name]):.1f} tokens/s measured")
    best, picked = (max(judged, key=lambda each: getattr(each, key)) for key in ("measured", "predicted"))
    for line in told(judged, best, picked):
        console.say(line)
    if bench.options.json:
        write_json(bench.options.json, to_plain([*judged, *map(bench.timed, range(len(bench.steps)))]))


if __name__ == "__main__":
    main()
