"""Prompts: samples whose answer is yet to be written, each in the ranking or the scoring half."""

import contextlib
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import zip_longest
from pathlib import Path
from typing import Any

from edgedraft.calibration.data.reading import ReadOptions, ReadReport, place_of, samples, samples_of
from edgedraft.calibration.data.samples import RANK, SCORE, Sample
from edgedraft.calibration.data.turns import SYSTEM, USER
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.progress import Note, unsaid
from edgedraft.runtime.base.records import require
from edgedraft.runtime.text.messages import ASSISTANT, normalized

SHIPPED = "coding"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A conversation to continue. The ``rank`` half chooses the draft vocabulary, the ``score`` half judges it.

    ``category`` is the kind of task, where the data set says it. ``later_turns`` are what the user says after the
    answer: calibration asks for the first answer alone, `bench` for all.
    """

    id: str
    split: str
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    category: str | None = None
    later_turns: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 in hexadecimal over what is asked, as `Sample.digest`; id and split take no part."""
        return Sample(id=self.id, messages=self.messages, tools=self.tools).digest

    @property
    def likeness(self) -> str:
        """SHA-256 in hexadecimal over the words of what is asked: prompts of equal likeness never judge each other.

        Ids, times and other keys of the messages take no part, nor do white space at the ends, the kind of line ends
        and the way that Unicode writes a letter.
        """
        said = [*map(_words, self.messages), [dict(tool) for tool in self.tools]]
        return hashlib.sha256(json.dumps(_plain(said), sort_keys=True, default=str).encode()).hexdigest()


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


def chosen_prompts(reference: str | Path | None, note: Note = unsaid) -> tuple[Prompt, ...]:
    """Read the prompts that ``reference`` names, or the packaged ones; ``note`` gets the number of equal ones."""
    prompts = read_prompts(reference) if reference else shipped_prompts()
    if sentence := equal_prompts(prompts):
        note(sentence)
    return prompts


def parse_prompts(text: str, where: str) -> tuple[Prompt, ...]:
    """Prompts of JSON lines; errors name ``where`` and the line."""
    report = ReadReport()
    return _prompts(samples_of(text, where, report, ReadOptions(strict=True)), where, report, strict=True)


def equal_prompts(prompts: Sequence[Prompt]) -> str | None:
    """Return a sentence that says how many prompts repeat an earlier one; None if all differ."""
    repeated = len(prompts) - len({prompt.likeness for prompt in prompts})
    if not repeated:
        return None
    count = f"{repeated:,} of {len(prompts):,} prompts {'repeats' if repeated == 1 else 'repeat'} an earlier one"
    return f"{count}: equal prompts stand in one half, so that held-out prompts are new."


def take(prompts: Sequence[Prompt], split: str, limit: int | None = None) -> tuple[Prompt, ...]:
    """Return the first ``limit`` prompts of one half (all when None)."""
    chosen = tuple(prompt for prompt in prompts if prompt.split == split)
    equal = len(prompts) > 1 and len({prompt.likeness for prompt in prompts}) == 1
    remedy = "give prompts that differ" if equal else f'give some prompts "split": "{split}"'
    got = f"{len(prompts)} equal prompts" if equal and not chosen else None
    require(len(chosen) > 0, f"no prompt in the {split} half", got=got, remedy=remedy)
    return chosen[:limit]


def spread(prompts: Sequence[Prompt], limit: int | None) -> tuple[Prompt, ...]:
    """Return ``limit`` prompts (all when None), as many of each category as there are: in turn, in their order."""
    by_category: dict[str | None, list[Prompt]] = {}
    for prompt in prompts:
        by_category.setdefault(prompt.category, []).append(prompt)
    in_turn = [each for row in zip_longest(*by_category.values()) for each in row if each is not None][:limit]
    chosen = {prompt.id for prompt in in_turn}
    return tuple(prompt for prompt in prompts if prompt.id in chosen)


def _prompts(
    numbered: Iterable[tuple[int, Sample]], where: str, report: ReadReport, strict: bool
) -> tuple[Prompt, ...]:
    """Make prompts of samples; those that say no half alternate: rank, score, rank, …

    Equal prompts stand in one half, that of the first of them, whatever the others say.
    """
    prompts: list[Prompt] = []
    halves: dict[str, str] = {}
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
        prompt = Prompt(
            id=sample.id,
            split=RANK,
            messages=messages,
            tools=sample.tools,
            category=sample.category,
            later_turns=sample.later_turns,
        )
        split = halves.setdefault(prompt.likeness, sample.split or (RANK, SCORE)[len(halves) % 2])
        prompts.append(replace(prompt, split=split))
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


def _words(message: Mapping[str, Any]) -> list[Any]:
    """Return what a message says or calls, without the ids of calls and however its arguments are written."""
    with contextlib.suppress(EdgedraftError):  # what cannot be normalized is refused where it is rendered
        (message,) = normalized([message])
    calls = message.get("tool_calls") or ()
    called = [call.get("function", call) if isinstance(call, Mapping) else call for call in calls]
    return [message.get("role"), message.get("content"), called, message.get("function_call")]


def _plain(value: Any) -> Any:
    """Return data with every text in one spelling."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value.replace("\r\n", "\n").strip())
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
