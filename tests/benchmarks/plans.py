"""Do plans keep their promise? Predicted against measured tokens per second of many plans, interleaved.

    python -m tests.benchmarks.plans [--target-precisions int4 int8] [--sizes 4096 32768 0] [--lengths 1 3]

Every held-out prompt is decoded by all plans and by each target alone at once, some tokens each in turn, and between
the turns the steps that these plans take are timed: what a pass costs, and a second row of it, drifts by the minute
with the machine's neighbours. A prompt is predicted from its own steps; a prediction replays the trace of the prompts
that are measured. What was measured is the prediction times the median over prompts of measured over predicted: a burst
of other work during one prompt does not count. Size 0 is the whole vocabulary.
"""

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from edgedraft.calibration.prompts import shipped_prompts
from edgedraft.console import Console
from edgedraft.devices.machine import this_machine, usable_cores
from edgedraft.devices.steps import DRAFTER, StepCase, StepTime, StepTimer
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.pair import Pair, PairRequest, prepare_pair
from edgedraft.exporter.models.trimmed import trimmed_graph
from edgedraft.exporter.pipeline.calibrating import PromptSet, calibrate_pair
from edgedraft.exporter.pipeline.measuring import PairSteps
from edgedraft.exporter.pipeline.step_cases import step_cases
from edgedraft.exporter.planning.planner import WORTHWHILE_SPEED_UP
from edgedraft.exporter.planning.ranking import index_map, token_order
from edgedraft.exporter.planning.scan import ReplayFunction, replay_function
from edgedraft.exporter.planning.scoring import PairLatency, predicted_seconds
from edgedraft.runtime.base.files import write_json
from edgedraft.runtime.base.records import to_plain
from edgedraft.runtime.base.tables import markdown_table
from edgedraft.runtime.core.decoding import plain_rounds, speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.model import LanguageModel, stopped_clock
from edgedraft.runtime.core.pass_times import PairPassTimes, PassTimes
from edgedraft.runtime.core.policies import FIXED, PolicyChoice, PolicyParts, build_drafter
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.onnx.providers import onnxruntime_version
from edgedraft.runtime.onnx.session import SessionSettings

CONTEXT_TOKENS, TURN_TOKENS = 128, 4
UNUSED_TIMES = PairPassTimes(target=PassTimes((1.0,)), drafter=PassTimes((1.0,)), acceptance_rate=0.5)


@dataclass(frozen=True, kw_only=True, eq=False)
class Way:
    """A plan of a pair, or with draft length 0 its target alone."""

    pair: Pair
    size: int
    length: int
    target: LanguageModel
    drafter: ModelTokenSource | None

    @property
    def name(self) -> str:
        if not self.length:
            return f"{self.pair.target.precision}, alone"
        return f"{self.pair.target.precision}, K {self.size:,}, {self.length} drafts"

    def rounds(self, prompt_ids: Sequence[int]) -> Iterator[Round]:
        """Decoding from the start, in memories of its own."""
        self.target.rewind(0)
        if self.drafter is None:
            return plain_rounds(self.target, prompt_ids)
        self.drafter.rewind(0)
        parts = PolicyParts(source=self.drafter, pass_times=UNUSED_TIMES, clock=stopped_clock)
        drafter = build_drafter(PolicyChoice(name=FIXED, draft_length=self.length), parts)
        return speculative_rounds(self.target, drafter, prompt_ids)


class Decoding:
    """A prompt that a way decodes bit by bit; the first token, with which reading the prompt ends, is not timed."""

    def __init__(self, way: Way, prompt_ids: Sequence[int], limits: Limits) -> None:
        self._rounds = limited(way.rounds(prompt_ids), limits)
        self.tokens, self.seconds, self.ended = 0, 0.0, False
        next(self._rounds)

    def go_on(self, tokens: int) -> None:
        """Decode until there are so many ``tokens``, or to the end."""
        started = time.perf_counter()
        while not self.ended and self.tokens < tokens:
            turn = next(self._rounds, None)
            self.ended = turn is None
            self.tokens += 0 if turn is None else len(turn.token_ids)
        self.seconds += time.perf_counter() - started


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
        self.speeds: dict[str, list[float]] = {way.name: [] for way in self.ways}
        self.steps: list[PairSteps] = []

    def _ways(self) -> list[Way]:
        first = self.pairs[0]
        sizes = [size or first.vocab_size for size in self.options.sizes]
        kept = {size: index_map(self.order, size) for size in sizes}
        graphs = {
            size: first.drafter_graph if size == first.vocab_size else trimmed_graph(first, kept[size])
            for size in sizes
        }
        found = []
        for pair in self.pairs:
            found.append(Way(pair=pair, size=0, length=0, target=pair.target_graph.new_model(), drafter=None))
            for size, length in product(sizes, self.options.lengths):
                drafter = ModelTokenSource(graphs[size].new_model(), kept[size])
                target = pair.target_graph.new_model()
                found.append(Way(pair=pair, size=size, length=length, target=target, drafter=drafter))
        return found

    def run(self) -> None:
        """Prompt by prompt: every way some tokens in turn, with the steps timed between the turns."""
        answers = self.calibrations[0].scoring_answers[: self.options.prompts]
        models, cases = self._step_cases()
        context = [token for entry in answers for token in (*entry.prompt_ids, *entry.token_ids)][:CONTEXT_TOKENS]
        timer = StepTimer(models, cases, context, time.perf_counter)
        for place, entry in enumerate(answers):
            self._decode(entry.prompt_ids, timer)
            self.steps.append(self._timed(timer.times()))
            self.console.progress("prompts", place + 1, len(answers))

    def _decode(self, prompt_ids: Sequence[int], timer: StepTimer) -> None:
        limits = [
            Limits(max_new_tokens=self.options.max_new_tokens, end_token_ids=way.pair.end_token_ids)
            for way in self.ways
        ]
        running = [Decoding(way, prompt_ids, limit) for way, limit in zip(self.ways, limits, strict=True)]
        timer.turn()
        timer.times()  # to warm up
        goal, turn = 0, 0
        while not all(each.ended for each in running):
            goal, turn = goal + TURN_TOKENS, turn + 1
            for place in range(len(running)):
                running[(turn + place) % len(running)].go_on(goal)
            timer.turn()
        for way, done in zip(self.ways, running, strict=True):
            self.speeds[way.name].append(done.tokens / done.seconds)

    def _step_cases(self) -> tuple[dict[str, LanguageModel], list[StepCase]]:
        """Only the rows that these plans verify."""
        models, cases = step_cases(self.pairs, self.order)
        rows = {1, *(length + 1 for length in self.options.lengths)}
        return models, [case for case in cases if case.role == DRAFTER or case.rows in rows]

    def _timed(self, steps: Sequence[StepTime]) -> PairSteps:
        return PairSteps(
            machine=this_machine(), threads=self.options.threads, onnxruntime=onnxruntime_version, steps=tuple(steps)
        )

    def judged(self) -> list[Judged]:
        """Every plan's promise beside what it kept."""
        found = []
        for pair, calibration in zip(self.pairs, self.calibrations, strict=True):
            latencies = [each.latencies(pair)[0] for each in self.steps]
            ones = np.array([each.target_seconds(1) for each in latencies])
            replayed = replay_function(calibration.trace, self.order)
            alone = next(way for way in self.ways if way.pair is pair and not way.length)
            plain = np.array(self.speeds[alone.name]) * ones
            for way in (way for way in self.ways if way.pair is pair and way.length):
                seconds, tokens = promised(replayed, way, latencies)
                predicted, speed_up = tokens.sum() / seconds.sum(), (tokens * ones).sum() / seconds.sum()
                kept = np.array(self.speeds[way.name]) * seconds / tokens
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


def promised(replayed: ReplayFunction, way: Way, latencies: Sequence[PairLatency]) -> tuple[np.ndarray, np.ndarray]:
    """Predicted seconds, each prompt's by its own latency, and tokens."""
    outcome = replayed(way.size, way.length)
    seconds = [predicted_seconds(outcome, way.size, way.length, own)[i] for i, own in enumerate(latencies)]
    return np.array(seconds), outcome.tokens[: len(latencies)]


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
        console.say(f"{way.name}: {statistics.median(bench.speeds[way.name]):.1f} tokens/s measured")
    best, picked = (max(judged, key=lambda each: getattr(each, key)) for key in ("measured", "predicted"))
    for line in told(judged, best, picked):
        console.say(line)
    if bench.options.json:
        write_json(bench.options.json, to_plain([*judged, *bench.steps]))


if __name__ == "__main__":
    main()
