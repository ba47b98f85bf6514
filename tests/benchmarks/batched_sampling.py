"""What batches gain when many prompts are answered: tokens per second beside one by one, and whether texts are equal.

    python tests/benchmarks/batched_sampling.py MODEL_FOLDER [--prompts 16] [--max-new-tokens 64] [--batch-sizes 1 2 4]

All batch sizes answer the same shipped prompts at the same time, pass by pass in turn, the one that is furthest behind
next: what slows the machine down for a while slows all of them. Seconds are a run's own: its passes and everything
between them. Reading the prompts counts; `ms a step` is the median decoding step.
"""

import argparse
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from edgedraft.calibration.prompts import shipped_prompts
from edgedraft.console import Console
from edgedraft.devices.machine import this_machine, usable_cores
from edgedraft.exporter.models.convert import GRAPH_NAME
from edgedraft.exporter.models.end_tokens import end_token_ids
from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.base.files import write_json
from edgedraft.runtime.base.records import to_plain
from edgedraft.runtime.core.batch import batched_answers
from edgedraft.runtime.core.decoding import plain_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.model import LanguageModel, Pass, prefill
from edgedraft.runtime.core.verify import accepted_prefix, logit_margin
from edgedraft.runtime.onnx.batch import OnnxBatch
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.providers import onnxruntime_version
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from edgedraft.runtime.text.codec import TextCodec

ONE_BY_ONE = 0
"""The batch size that stands for no batch."""

Texts = dict[int, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one batch size took, repeat by repeat, and how many of its texts are those of one by one."""

    batch_size: int
    tokens_per_second: tuple[float, ...]
    ratios: tuple[float, ...]
    prompt_share: tuple[float, ...]
    step_milliseconds: tuple[float, ...]
    equal_texts: int
    margins: tuple[float, ...]


class Turns:
    """One run at a time; the turn goes to the one that has read least. A run keeps it until it asks for the next."""

    def __init__(self, runs: "Sequence[Run]") -> None:
        self._changed = threading.Condition()
        self._waiting = list(runs)
        self._busy: Run | None = None

    def take(self, run: "Run") -> None:
        """Give the turn back, if ``run`` has it, and wait for it."""
        with self._changed:
            self._release(run)
            self._changed.wait_for(lambda: self._busy is None and run is min(self._waiting, key=lambda one: one.read))
            self._busy, run.started = run, time.perf_counter()

    def leave(self, run: "Run") -> None:
        """``run`` has ended."""
        with self._changed:
            self._release(run)
            self._waiting.remove(run)
            self._changed.notify_all()

    def _release(self, run: "Run") -> None:
        if self._busy is run:
            run.seconds += time.perf_counter() - run.started
            self._busy = None
            self._changed.notify_all()


@dataclass(kw_only=True, eq=False)
class Run:
    """All prompts answered once with one batch size, in turns."""

    batch_size: int
    texts: Texts = field(default_factory=dict)
    read: int = 0
    seconds: float = 0.0
    started: float = 0.0
    prompt_seconds: float = 0.0
    step_seconds: list[float] = field(default_factory=list)

    @property
    def tokens_per_second(self) -> float:
        return sum(map(len, self.texts.values())) / self.seconds

    def answer(self, graph: OnnxGraph, prompts: Sequence[Sequence[int]], limits: Limits, turns: Turns) -> None:
        """Answer ``prompts`` with memories that are new."""
        try:
            turns.take(self)
            if self.batch_size == ONE_BY_ONE:
                model = TimedModel(graph.new_model(), self, turns)
                for number, prompt in enumerate(prompts):
                    self.texts[number] = alone(model, prompt, limits)
            else:
                batch = TimedBatch(graph.batch(self.batch_size), self, turns)
                self.texts.update(batched_answers(batch, prompts, limits))
        finally:
            turns.leave(self)


class TimedModel:
    """A memory that waits for its run's turn before a pass; a pass over one token that is not the first is a step."""

    def __init__(self, model: OnnxModel, run: Run, turns: Turns) -> None:
        self._model, self._run, self._turns = model, run, turns
        self.rewind = model.rewind
        self.context_length = model.context_length

    @property
    def token_ids(self) -> Sequence[int]:
        return self._model.token_ids

    @property
    def length(self) -> int:
        return self._model.length

    def read(self, token_ids: Sequence[int]) -> Pass:
        self._turns.take(self._run)
        started, step = time.perf_counter(), len(token_ids) == 1 and self._model.length > 0
        done = self._model.read(token_ids)
        seconds = time.perf_counter() - started
        if step:
            self._run.step_seconds.append(seconds)
        else:
            self._run.prompt_seconds += seconds
        self._run.read += len(token_ids)
        return done


class TimedBatch:
    """A batch that waits for its run's turn before a pass."""

    def __init__(self, batch: OnnxBatch, run: Run, turns: Turns) -> None:
        self._batch, self._run, self._turns = batch, run, turns
        self.rows = [TimedModel(row, run, turns) for row in batch.rows]
        self.move = batch.move

    def step(self, token_ids: Sequence[int]) -> Logits:
        self._turns.take(self._run)
        started = time.perf_counter()
        logits = self._batch.step(token_ids)
        # A batch that runs out of prompts steps fewer rows: only steps of all of them are compared.
        if len(token_ids) == len(self.rows):
            self._run.step_seconds.append(time.perf_counter() - started)
        self._run.read += len(token_ids)
        return logits


def answered(
    graph: OnnxGraph, prompts: Sequence[Sequence[int]], limits: Limits, sizes: Sequence[int]
) -> dict[int, Run]:
    """A run of each batch size, all at the same time."""
    runs = {size: Run(batch_size=size) for size in sizes}
    turns = Turns(list(runs.values()))
    with ThreadPoolExecutor(len(runs)) as pool:
        for done in [pool.submit(run.answer, graph, prompts, limits, turns) for run in runs.values()]:
            done.result()
    return runs


def alone(model: LanguageModel, prompt: Sequence[int], limits: Limits) -> tuple[int, ...]:
    """The greedy answer without any batch."""
    model.rewind(0)
    rounds = limited(plain_rounds(model, prompt), limits)
    return tuple(token_id for turn in rounds for token_id in turn.token_ids)


def margins(graph: OnnxGraph, prompts: Sequence[Sequence[int]], texts: Texts, others: Texts) -> tuple[float, ...]:
    """How far the best logit lies above the second where texts part for the first time."""
    model, found = graph.new_model(), []
    for number in sorted(texts):
        one, other = texts[number], others[number]
        if one != other:
            shared = [*prompts[number], *one[: accepted_prefix(one, other)]]
            found.append(logit_margin(prefill(model, shared)))
    return tuple(found)


def spread(values: Sequence[float], digits: int) -> str:
    """Median and range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def measured(
    graph: OnnxGraph, prompts: Sequence[Sequence[int]], repeats: Sequence[dict[int, Run]], batch_size: int
) -> Measured:
    """The repeats of one batch size beside those of one by one."""
    own, lone = ([runs[size] for runs in repeats] for size in (batch_size, ONE_BY_ONE))
    texts, reference = own[0].texts, lone[0].texts
    return Measured(
        batch_size=batch_size,
        tokens_per_second=tuple(one.tokens_per_second for one in own),
        ratios=tuple(one.tokens_per_second / other.tokens_per_second for one, other in zip(own, lone, strict=True)),
        prompt_share=tuple(one.prompt_seconds / one.seconds for one in own),
        step_milliseconds=tuple(1e3 * statistics.median(one.step_seconds) for one in own),
        equal_texts=sum(texts[number] == reference[number] for number in texts),
        margins=margins(graph, prompts, reference, texts),
    )


def row(one: Measured, prompts: int) -> tuple[str, ...]:
    """A line of the table."""
    return (
        "one by one" if one.batch_size == ONE_BY_ONE else f"batch of {one.batch_size}",
        spread(one.tokens_per_second, 1),
        spread(one.ratios, 2),
        spread(one.step_milliseconds, 0),
        f"{statistics.median(one.prompt_share):.0%}",
        f"{one.equal_texts} of {prompts}",
        f"{max(one.margins):.2f}" if one.margins else "",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a converted model's folder")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--context-length", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    console = Console()
    settings = SessionSettings(threads=options.threads, context_length=options.context_length)
    graph, codec = OnnxGraph(options.model / GRAPH_NAME, settings), TextCodec(options.model)
    prompts = [codec.encode_chat(prompt.messages) for prompt in shipped_prompts()[: options.prompts]]
    limits = Limits(max_new_tokens=options.max_new_tokens, end_token_ids=end_token_ids(options.model))
    sizes = [ONE_BY_ONE, *options.batch_sizes]
    alone(graph.new_model(), prompts[0], Limits(max_new_tokens=8))  # warm up
    repeats = []
    for repeat in range(options.repeats):
        console.progress("repeats", repeat, options.repeats)
        repeats.append(answered(graph, prompts, limits, sizes))
    found = [measured(graph, prompts, repeats, size) for size in sizes]
    header = (
        "",
        "tokens/s",
        "times one by one",
        "ms a step",
        "reading prompts",
        "texts equal",
        "widest margin at parting",
    )
    console.table(header, [row(one, len(prompts)) for one in found])
    batched = [runs[size].texts for runs in repeats for size in sizes[1:]]
    alike = all(texts == batched[0] for texts in batched)
    console.say(f"\nAll batch sizes and repeats gave the same texts: {'yes' if alike else 'no'}")
    if options.json:
        facts = {"model": options.model.name, "onnxruntime": onnxruntime_version, "threads": options.threads}
        lengths = [len(prompt) for prompt in prompts]
        figures = {"prompt_tokens": lengths, "same_texts_for_all_batches": alike, "measured": to_plain(found)}
        write_json(options.json, facts | {"machine": to_plain(this_machine())} | figures)


if __name__ == "__main__":
    main()
