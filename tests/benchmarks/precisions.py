"""What each precision costs and keeps: file sizes, divergence from fp32, ms by rows, HumanEval. For one model.

    python tests/benchmarks/precisions.py [--model NAME] [--precisions int4 fp32 ...] [--only speed|quality|humaneval]
        [--answers N]

Converts what is not in the cache yet (fp32 of the packaged target takes 7 GB of disk). Answers are kept in a journal
and taken from there when the run is started again; speed is measured each time, all precisions interleaved.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from humaneval import chat, network_is_cut, passes, problems

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.data.samples import SCORE
from edgedraft.calibration.prompts import shipped_prompts, take
from edgedraft.console import Console
from edgedraft.devices.machine import this_machine, usable_cores
from edgedraft.devices.steps import TARGET, StepCase, StepTime, measure_steps
from edgedraft.exporter.graph.precisions import CANDIDATES, DEFAULT, PRECISIONS
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.convert import OnnxFolder, convert
from edgedraft.exporter.models.end_tokens import end_token_ids
from edgedraft.exporter.models.sources import resolve
from edgedraft.exporter.pipeline.quality import MAX_DIVERGENCE, divergence
from edgedraft.runtime.base.files import write_json
from edgedraft.runtime.base.kernel_names import shown_kernels
from edgedraft.runtime.base.records import from_plain, to_plain
from edgedraft.runtime.base.tables import markdown_table
from edgedraft.runtime.bundle.manifest import DivergenceEntry
from edgedraft.runtime.core.model import LanguageModel, catch_up, prefill
from edgedraft.runtime.core.verify import accepted_prefix, greedy_choices
from edgedraft.runtime.native.library import kernel_state
from edgedraft.runtime.onnx.providers import onnxruntime_version
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from edgedraft.runtime.text.codec import TextCodec

FLOAT = "fp32"
KINDS = ("speed", "quality", "humaneval")
ROWS = tuple(range(1, 9))
REPEATS, CONTEXT_TOKENS = 20, 128
ANSWERS, ANSWER_TOKENS = 24, 64
PROGRAM_TOKENS = 320
DRAFT_LENGTH = 6


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured of one precision; None where it was not."""

    precision: str
    file_bytes: int
    divergence: DivergenceEntry | None = None
    milliseconds: tuple[float, ...] | None = None
    passed: int | None = None
    problems: int | None = None


class Journal:
    """Facts by key, one JSON line each; a line cut short is passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: dict[str, object] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            self.facts[entry["key"]] = entry["fact"]

    def add(self, key: str, fact: object) -> None:
        self.facts[key] = fact
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps({'key': key, 'fact': fact})}\n")


def greedy(
    model: LanguageModel, prompt: Sequence[int], ends: Sequence[int], most: int, drafter: LanguageModel | None = None
) -> list[int]:
    """The model's greedy answer; a drafter changes how fast it comes, not what it is."""
    text = [*prompt, greedy_choices(prefill(model, prompt)[None])[0]]
    while len(text) < len(prompt) + most and text[-1] not in ends:
        drafts = draft(drafter, text) if drafter is not None else []
        choices = greedy_choices(model.read([text[-1], *drafts]).logits)
        kept = accepted_prefix(drafts, choices)
        model.rewind(len(text) + kept)
        text += choices[: kept + 1]
    answer = text[len(prompt) :][:most]
    stops = [position for position, token in enumerate(answer) if token in ends]
    return answer[: stops[0] + 1] if stops else answer


def draft(drafter: LanguageModel, text: Sequence[int]) -> list[int]:
    """The next few tokens that the drafter would write."""
    drafter.rewind(min(drafter.length, accepted_prefix(drafter.token_ids, text), len(text) - 1))
    drafts = [greedy_choices(catch_up(drafter, text)[None])[0]]
    while len(drafts) < DRAFT_LENGTH:
        drafts.append(greedy_choices(drafter.read(drafts[-1:]).logits)[0])
    return drafts


class Bench:
    """The model in its precisions, opened a few at a time."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        self.console = console
        self.settings = SessionSettings(threads=options.threads, context_length=1024)
        cache = cache_folder()
        source = resolve(options.model, cache, console.progress)
        names = dict.fromkeys(options.precisions)
        if options.only in (None, "quality") or FLOAT in names:
            names |= dict.fromkeys((FLOAT, DEFAULT))
        self.folders = {name: convert(source, name, cache, console.progress) for name in names}
        self.count = options.answers
        self.journal = Journal(cache / "benchmarks" / f"precisions-{source.name}.jsonl")
        some = next(iter(self.folders.values()))
        self.codec, self.ends = TextCodec(some.path), end_token_ids(some.path)

    def open(self, name: str) -> LanguageModel:
        return open_model(self.folders[name].graph, self.settings)

    def answers(self, name: str, asked: dict[str, list[dict[str, str]]], most: int) -> dict[str, SampledAnswer]:
        """What the precision answers; fp32 is helped by the default precision's drafts."""
        keys = {prompt: f"{self.folders[name].key} {most} {prompt}" for prompt in asked}
        if any(key not in self.journal.facts for key in keys.values()):
            model, drafter = self.open(name), self.open(DEFAULT) if name == FLOAT else None
        found = {}
        for done, (prompt, messages) in enumerate(asked.items()):
            ids = list(self.codec.encode_chat(messages))
            if keys[prompt] not in self.journal.facts:
                self.journal.add(keys[prompt], greedy(model, ids, self.ends, most, drafter))
            tokens = self.journal.facts[keys[prompt]]
            found[prompt] = SampledAnswer(prompt_id=prompt, prompt_ids=tuple(ids), token_ids=tuple(tokens))
            self.console.progress(f"{name} answers", done + 1, len(asked))
        return found

    def divergences(self, names: Sequence[str]) -> dict[str, DivergenceEntry]:
        """Every precision against fp32, over fp32's own answers."""
        asked = {p.id: [dict(m) for m in p.messages] for p in take(shipped_prompts(), SCORE, self.count)}
        answers = list(self.answers(FLOAT, asked, ANSWER_TOKENS).values())
        keys = {name: f"{self.folders[name].key} divergence {self.count} {ANSWER_TOKENS}" for name in names}
        missing = [name for name in names if keys[name] not in self.journal.facts]
        reference = self.open(FLOAT) if missing else None
        for name in missing:
            model = reference if name == FLOAT else self.open(name)
            measured = divergence(name, reference, model, answers, self.console.progress)
            self.journal.add(keys[name], to_plain(measured))
        return {name: from_plain(DivergenceEntry, self.journal.facts[keys[name]], name) for name in names}

    def humaneval(self, name: str, count: int) -> int:
        """Problems that the precision's programs pass."""
        chosen = problems(count)
        answers = self.answers(name, {problem.name: chat(problem) for problem in chosen}, PROGRAM_TOKENS)
        ends = set(self.ends)
        texts = [
            self.codec.decode([token for token in answers[problem.name].token_ids if token not in ends])
            for problem in chosen
        ]
        return sum(passes(problem, text) for problem, text in zip(chosen, texts, strict=True))

    def steps(self, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """Median milliseconds by rows, all precisions in turn; a model that memory cannot hold beside them is left out.

        A float matrix is held twice while it is repacked.
        """
        free, fitting = psutil.virtual_memory().available, []
        for name in sorted(names, key=lambda name: file_bytes(self.folders[name])):
            free -= file_bytes(self.folders[name]) * (2 if name == FLOAT else 1.3)
            if free > 2**30:
                fitting.append(name)
            else:
                self.console.note(f"{name} is not timed: too little free memory beside the others")
        models = {name: self.open(name) for name in fitting}
        cases = [
            StepCase(model=name, role=TARGET, precision=name, weight_bytes=0, rows=rows)
            for name in fitting
            for rows in ROWS
        ]
        context = list(self.codec.encode("def f(x):\n    return x\n" * 100))[:CONTEXT_TOKENS]
        times = measure_steps(models, cases, context, time.perf_counter, REPEATS, self.console.progress)
        return {name: _by_rows(times[number * len(ROWS) :]) for number, name in enumerate(fitting)}


def _by_rows(times: Sequence[StepTime]) -> tuple[float, ...]:
    return tuple(1e3 * each.seconds for each in times[: len(ROWS)])


def file_bytes(folder: OnnxFolder) -> int:
    """Graph and weights."""
    return sum(file.stat().st_size for file in folder.path.glob("model.onnx*"))


def table(rows: Sequence[Row]) -> list[str]:
    """The rows in Markdown."""
    header = ("precision", "MB", "KL per token", "same choice", "HumanEval", *(f"{m} rows, ms" for m in ROWS))
    return markdown_table(header, [_cells(row) for row in rows])


def _cells(row: Row) -> tuple[str, ...]:
    strays, times = row.divergence, row.milliseconds
    return (
        row.precision,
        f"{row.file_bytes / 1e6:,.0f}",
        "–" if strays is None else f"{strays.kl_per_token:.4f}",
        "–" if strays is None else f"{strays.greedy_agreement:.1%}",
        "–" if row.passed is None else f"{row.passed}/{row.problems}",
        *("–" if times is None else f"{times[number]:.1f}" for number in range(len(ROWS))),
    )


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qwen2.5-coder-1.5b-instruct")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--only", choices=KINDS)
    text = "fp32's answers that divergence is measured on (default: %(default)s)"
    parser.add_argument("--answers", type=int, default=ANSWERS, metavar="N", help=text)
    parser.add_argument("--problems", type=int, default=40)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    console, kinds = Console(), (options.only,) if options.only else KINDS
    bench = Bench(options, console)
    strays = bench.divergences(options.precisions) if "quality" in kinds else {}
    passed = {name: bench.humaneval(name, options.problems) for name in options.precisions if "humaneval" in kinds}
    times = bench.steps(options.precisions) if "speed" in kinds else {}
    rows = [
        Row(
            precision=name,
            file_bytes=file_bytes(bench.folders[name]),
            divergence=strays.get(name),
            milliseconds=times.get(name),
            passed=passed.get(name),
            problems=options.problems if name in passed else None,
        )
        for name in options.precisions
    ]
    console.say("\n".join(table(rows)))
    machine = this_machine()
    runtime = f"{options.threads} threads, onnxruntime {onnxruntime_version}, {shown_kernels(kernel_state().chosen)}"
    console.say(f"{options.model} on {machine.name}, {runtime}")
    near = [name for name in CANDIDATES if name in strays and strays[name].kl_per_token <= MAX_DIVERGENCE]
    if near:
        console.say(f"Default among these, within {MAX_DIVERGENCE} nats a token: {near[0]}.")
    if passed and not network_is_cut():
        console.say("HumanEval programs ran with the network reachable: this system forbids cutting it off.")
    if options.json:
        facts = {"model": options.model, "machine": machine, "threads": options.threads, "rows": rows}
        write_json(options.json, to_plain(facts | {"onnxruntime": onnxruntime_version}))


if __name__ == "__main__":
    main()
