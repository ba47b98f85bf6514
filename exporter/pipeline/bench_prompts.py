"""The prompts of a bench, and their later turns, which follow the model's own answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgedraft.calibration.data.samples import SCORE
from edgedraft.calibration.data.turns import USER
from edgedraft.calibration.prompts import Prompt, chosen_prompts, spread, take
from edgedraft.exporter.pipeline.requests import BenchRequest
from edgedraft.runtime.base.progress import Note, unsaid
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bench import BenchReport, Drafting, PromptRun, bench_report
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.text.messages import ASSISTANT

PACKAGED_PROMPTS = 8
"""As many of the packaged prompts run where no number was asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedTurn:
    """A conversation to continue: its tokens, the category of its prompt, and what the user says afterwards."""

    messages: tuple[Mapping[str, Any], ...]
    token_ids: tuple[int, ...]
    category: str | None
    later_turns: tuple[str, ...]


def bench_prompts(request: BenchRequest, note: Note = unsaid) -> tuple[Prompt, ...]:
    """Return the prompts of a request; see `BenchRequest`."""
    prompts = chosen_prompts(request.prompts, note)
    if request.prompts is None:
        return take(prompts, SCORE, request.number or PACKAGED_PROMPTS)
    return spread(prompts, request.number)


def first_turns(engine: Engine, prompts: Sequence[Prompt], note: Note = unsaid) -> list[AskedTurn]:
    """Encode the prompts; those that do not fit into the context are left out, and counted in a note."""
    turns = [
        AskedTurn(
            messages=prompt.messages,
            token_ids=tuple(engine.codec.encode_chat(prompt.messages, prompt.tools)),
            category=prompt.category,
            later_turns=prompt.later_turns,
        )
        for prompt in prompts
    ]
    return _fitting(engine, turns, note)


def next_turns(
    engine: Engine, turns: Sequence[AskedTurn], answers: Sequence[PromptRun], note: Note = unsaid
) -> list[AskedTurn]:
    """Return the turns that follow: each conversation with the target's own answer and what the user says next."""
    following = []
    for turn, answer in zip(turns, answers, strict=True):
        said = engine.codec.decode(answer.token_ids)
        if not turn.later_turns or not said.strip():
            continue
        asked, *later = turn.later_turns
        messages = (*turn.messages, {"role": ASSISTANT, "content": said}, {"role": USER, "content": asked})
        token_ids = tuple(engine.codec.encode_chat(messages))
        following.append(
            AskedTurn(messages=messages, token_ids=token_ids, category=turn.category, later_turns=tuple(later))
        )
    return _fitting(engine, following, note) if following else []


def _fitting(engine: Engine, turns: Sequence[AskedTurn], note: Note) -> list[AskedTurn]:
    context = engine.settings.context_length
    fitting = [turn for turn in turns if len(turn.token_ids) < context]
    rule = f"no prompt is shorter than the context of {context} tokens"
    require(len(fitting) > 0, rule, remedy="open the bundle with a larger context (--context-length)")
    if left_out := len(turns) - len(fitting):
        note(f"{left_out} of {len(turns)} prompts are left out: they do not fit into the context of {context} tokens")
    return fitting


def by_category(
    turns: Sequence[AskedTurn],
    runs: Mapping[str, Sequence[PromptRun]],
    ways: Mapping[str, Drafting],
    max_new_tokens: int,
) -> dict[str, BenchReport]:
    """Summarize the runs of each category, in their order; empty where no prompt has one.

    A category all of whose answers are a single token has no speeds, and is left out.
    """
    places: dict[str, list[int]] = {}
    for place, turn in enumerate(turns):
        if turn.category is not None:
            places.setdefault(turn.category, []).append(place)
    reports = {}
    for category, chosen in places.items():
        part = {name: [run[place] for place in chosen] for name, run in runs.items()}
        if all(any(run.statistics.rounds for run in each) for each in part.values()):
            reports[category] = bench_report(part, ways, max_new_tokens)
    return reports
