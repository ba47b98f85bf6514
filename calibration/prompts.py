"""Prompts: samples whose answer is yet to be written, each in the ranking or the scoring half."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from edgedraft.calibration.data.reading import ReadOptions, ReadReport, place_of, samples, samples_of
from edgedraft.calibration.data.samples import RANK, SCORE, Sample
from edgedraft.calibration.data.turns import SYSTEM, USER
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require
from edgedraft.runtime.text.messages import ASSISTANT

SHIPPED = "coding"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A conversation to continue. The ``rank`` half chooses the draft vocabulary, the ``score`` half judges it."""

    id: str
    split: str
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 in hexadecimal over what is asked, as `Sample.digest`; id and split take no part."""
        return Sample(id=self.id, messages=self.messages, tools=self.tools).digest


def shipped_prompts() -> tuple[Prompt, ...]:
    """Return the package's own coding prompts, half for ranking and half for scoring."""
    text = (resources.files("edgedraft.calibration") / "prompts" / f"{SHIPPED}.jsonl").read_text(encoding="utf-8")
    return parse_prompts(text, f"{SHIPPED} prompts")


def read_prompts(reference: str | Path, report: ReadReport | None = None, *, strict: bool = True) -> tuple[Prompt, ...]:
    """Prompts of whatever `samples` reads; of a plain text every line is one.

    Prompts are few and made by hand, so a broken one is an error; without ``strict`` it is left out and noted in
    ``report``.
    """
    report = ReadReport() if report is None else report
    options = ReadOptions(strict=strict, line_by_line=True)
    return _prompts(samples(reference, report, options), place_of(reference), report, strict)


def parse_prompts(text: str, where: str) -> tuple[Prompt, ...]:
    """Prompts of JSON lines; errors name ``where`` and the line."""
    report = ReadReport()
    return _prompts(samples_of(text, where, report, ReadOptions(strict=True)), where, report, strict=True)


def take(prompts: Sequence[Prompt], split: str, limit: int | None = None) -> tuple[Prompt, ...]:
    """Return the first ``limit`` prompts of one half (all when None)."""
    chosen = tuple(prompt for prompt in prompts if prompt.split == split)
    require(len(chosen) > 0, f"no prompt in the {split} half", remedy=f'give some prompts "split": "{split}"')
    return chosen[:limit]


def _prompts(
    numbered: Iterable[tuple[int, Sample]], where: str, report: ReadReport, strict: bool
) -> tuple[Prompt, ...]:
    """Make prompts of samples; those that say no half alternate: rank, score, rank, …"""
    prompts: list[Prompt] = []
    for _, sample in numbered:
        messages = _asked(sample)
        if not messages:
            problem = EdgedraftError(
                f"{where}: prompt {sample.id}: expected something to answer", got="an answer alone"
            )
            if strict:
                raise problem
            report.add_problem(str(problem))
            continue
        split = sample.split or (RANK, SCORE)[len(prompts) % 2]
        prompts.append(Prompt(id=sample.id, split=split, messages=messages, tools=sample.tools))
    report.require_samples(where)
    repeated = len(prompts) - len({prompt.id for prompt in prompts})
    require(repeated == 0, f"{where}: ids must differ", got=f"{repeated} repeated", remedy="rename or drop them")
    return tuple(prompts)


def _asked(sample: Sample) -> tuple[Mapping[str, Any], ...]:
    """Return the conversation without the answers that end it, which are written anew; empty where no one asks.

    A text is what the user says.
    """
    messages = list(sample.messages) or [{"role": USER, "content": sample.text}]
    while messages and messages[-1]["role"] == ASSISTANT:
        messages.pop()
    return tuple(messages) if any(message["role"] != SYSTEM for message in messages) else ()
