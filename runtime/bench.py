"""Measure a bundle where it runs: ways of decoding, interleaved prompt by prompt, compared as ratios.

The clock comes in as an argument; nothing here prints.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.drafter import NO_DRAFTS
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.model import Clock, LanguageModel, prefill
from edgedraft.runtime.core.pass_times import PairPassTimes
from edgedraft.runtime.core.policies import FIXED, PolicyChoice, PolicyParts, build_drafter
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.statistics import DraftStatistics, count_rounds, median_interval, memory_bound_speed_up
from edgedraft.runtime.core.token_drafter import TokenSource
from edgedraft.runtime.core.verify import accepted_prefix, logit_margin


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Drafting:
    """One way of decoding: its source of drafts, its policy, and the drafter's cost relative to the target's.

    ``pass_times`` are updated over the prompts of a bench, as a slot updates them over answers.
    """

    choice: PolicyChoice
    source: TokenSource
    pass_times: PairPassTimes
    parameter_ratio: float
    byte_ratio: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptRun:
    """One prompt decoded one way; ``prompt_seconds`` end with the first token, where ``decode_seconds`` begin."""

    token_ids: tuple[int, ...]
    statistics: DraftStatistics
    prompt_seconds: float
    decode_seconds: float
    drafter_seconds: float
    target_seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Return the decoded tokens per second, the first token and the prompt left out."""
        return self.statistics.tokens / self.decode_seconds if self.decode_seconds > 0 else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WayReport:
    """One way of decoding over all prompts: speeds per prompt, milliseconds per round, ratios to plain decoding.

    Both intervals are a median with its quartiles.
    """

    tokens_per_second: Interval
    speed_up: Interval
    block_efficiency: float
    acceptance_rate: float
    rounds: int
    tokens: int
    draft_tokens_proposed: int
    draft_tokens_evaluated: int
    draft_tokens_accepted: int
    drafter_milliseconds: float
    target_milliseconds: float
    overhead_milliseconds: float
    prompt_milliseconds: float
    mbsu_by_parameters: float | None
    mbsu_by_bytes: float | None
    mbsu_by_seconds: float | None
    equal_texts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchReport:
    """Every way of decoding, in the order they ran; the first is the target alone.

    Texts are compared with its texts. In exact mode the second is the target alone without that mode.
    """

    prompts: int
    max_new_tokens: int
    ways: dict[str, WayReport]

    @property
    def speed_base(self) -> str:
        """Return the way that speed-ups are computed against: plain decoding, without exact mode if that also ran."""
        return INEXACT if INEXACT in self.ways else PLAIN


PLAIN, INEXACT = "target alone", "target alone, inexact"

_WARM_UP_TOKENS = 8


def bench(
    target: LanguageModel,
    ways: Mapping[str, Drafting],
    prompts: Sequence[Sequence[int]],
    limits: Limits,
    clock: Clock,
    progress: Progress = silent,
    *,
    inexact: LanguageModel | None = None,
) -> tuple[BenchReport, dict[str, list[PromptRun]]]:
    """Decode every prompt by the target alone and by each of ``ways``; return the report and the single runs.

    To warm up, every way first decodes a few tokens for the first prompt, which are not counted. From prompt to prompt
    the order rotates by one, so that no way always runs first. Where ``target`` is exact, ``inexact`` is the same model
    without exact mode: it runs alone, too, and speed-ups are against it, so that they do not count what the mode costs.
    """
    runs = run_ways(target, ways, prompts, limits, clock, progress, inexact=inexact)
    return bench_report(runs, ways, limits.max_new_tokens), runs


def run_ways(
    target: LanguageModel,
    ways: Mapping[str, Drafting],
    prompts: Sequence[Sequence[int]],
    limits: Limits,
    clock: Clock,
    progress: Progress = silent,
    *,
    inexact: LanguageModel | None = None,
) -> dict[str, list[PromptRun]]:
    """Decode every prompt by every way, as `bench` does; return the single runs by the names of the ways."""
    require(len(prompts) > 0, "bench needs at least one prompt", got=0)
    alone = {PLAIN: target} | ({INEXACT: inexact} if inexact is not None else {})
    names = [*alone, *ways]
    runs: dict[str, list[PromptRun]] = {name: [] for name in names}
    total = (len(prompts) + 1) * len(names)
    warm_up = replace(limits, max_new_tokens=min(limits.max_new_tokens, _WARM_UP_TOKENS))
    for number, prompt in enumerate([prompts[0], *prompts]):
        for step in range(len(names)):
            name = names[(number + step) % len(names)]
            if number == 0:
                run_prompt(alone.get(name, target), ways.get(name), prompt, warm_up, clock)
            else:
                runs[name].append(run_prompt(alone.get(name, target), ways.get(name), prompt, limits, clock))
            progress("bench runs", number * len(names) + step + 1, total)
    return runs


def bench_report(
    runs: Mapping[str, Sequence[PromptRun]], ways: Mapping[str, Drafting], max_new_tokens: int
) -> BenchReport:
    """Summarize the runs of every way, in their order."""
    fastest = runs[INEXACT if INEXACT in runs else PLAIN]
    reports = {name: summarize(runs[name], runs[PLAIN], ways.get(name), speed_base=fastest) for name in runs}
    return BenchReport(prompts=len(runs[PLAIN]), max_new_tokens=max_new_tokens, ways=reports)


def run_prompt(
    target: LanguageModel, drafting: Drafting | None, prompt_ids: Sequence[int], limits: Limits, clock: Clock
) -> PromptRun:
    """Decode one prompt, without reusing any cache, and time its parts."""
    target.rewind(0)
    if drafting:
        drafting.source.rewind(0)
    started = clock()
    rounds = limited(_rounds(target, drafting, prompt_ids, clock), limits)
    first = next(rounds)
    prompt_seconds = clock() - started
    started = clock()
    decoded = list(rounds)
    decode_seconds = clock() - started
    return PromptRun(
        token_ids=first.token_ids + tuple(token for round_ in decoded for token in round_.token_ids),
        statistics=count_rounds(decoded),
        prompt_seconds=prompt_seconds,
        decode_seconds=decode_seconds,
        drafter_seconds=sum(round_.drafter_seconds for round_ in decoded),
        target_seconds=sum(round_.target_seconds for round_ in decoded),
    )


def _rounds(
    target: LanguageModel, drafting: Drafting | None, prompt_ids: Sequence[int], clock: Clock
) -> Iterator[Round]:
    if drafting is None:
        return speculative_rounds(target, NO_DRAFTS, prompt_ids, clock=clock)
    parts = PolicyParts(source=drafting.source, pass_times=drafting.pass_times, clock=clock)
    return speculative_rounds(target, build_drafter(drafting.choice, parts), prompt_ids, clock=clock)


def summarize(
    runs: Sequence[PromptRun],
    plain: Sequence[PromptRun],
    drafting: Drafting | None,
    *,
    speed_base: Sequence[PromptRun] | None = None,
) -> WayReport:
    """Summarize the runs of one way of decoding, compared with the plain runs of the same prompts.

    Speeds are compared with ``speed_base`` if that is given.

    Prompts answered by a single token have no decoding time; the speeds do not include them.
    """
    speed_base = plain if speed_base is None else speed_base
    timed = [run for run in runs if run.statistics.rounds]
    require(len(timed) > 0, "every prompt was answered by a single token", remedy="bench on other prompts")
    counts = total_statistics([run.statistics for run in runs])
    rounds = max(counts.rounds, 1)
    overhead = sum(run.decode_seconds - run.drafter_seconds - run.target_seconds for run in runs)
    by_parameters, by_bytes, by_seconds = _speed_ups(runs, speed_base, counts, drafting)
    return WayReport(
        tokens_per_second=median_interval([run.tokens_per_second for run in timed]),
        speed_up=speed_ratio(runs, speed_base),
        block_efficiency=counts.block_efficiency,
        acceptance_rate=counts.acceptance_rate,
        rounds=counts.rounds,
        tokens=counts.tokens,
        draft_tokens_proposed=counts.draft_tokens_proposed,
        draft_tokens_evaluated=counts.draft_tokens_evaluated,
        draft_tokens_accepted=counts.draft_tokens_accepted,
        drafter_milliseconds=1e3 * sum(run.drafter_seconds for run in runs) / rounds,
        target_milliseconds=1e3 * sum(run.target_seconds for run in runs) / rounds,
        overhead_milliseconds=1e3 * overhead / rounds,
        prompt_milliseconds=1e3 * float(np.median([run.prompt_seconds for run in runs])),
        mbsu_by_parameters=by_parameters,
        mbsu_by_bytes=by_bytes,
        mbsu_by_seconds=by_seconds,
        equal_texts=sum(run.token_ids == base.token_ids for run, base in zip(runs, plain, strict=True)),
    )


def speed_ratio(runs: Sequence[PromptRun], others: Sequence[PromptRun]) -> Interval:
    """Return the ratio of tokens per second of two ways of decoding, compared prompt by prompt."""
    pairs = [pair for pair in zip(runs, others, strict=True) if all(run.statistics.rounds for run in pair)]
    return median_interval([run.tokens_per_second / other.tokens_per_second for run, other in pairs])


def total_statistics(parts: Sequence[DraftStatistics]) -> DraftStatistics:
    """Return the counts of several answers together."""
    names = [field.name for field in fields(DraftStatistics)]
    return DraftStatistics(**{name: sum(getattr(part, name) for part in parts) for name in names})


def _speed_ups(
    runs: Sequence[PromptRun], plain: Sequence[PromptRun], counts: DraftStatistics, drafting: Drafting | None
) -> tuple[float | None, float | None, float | None]:
    """Return MBSU with the drafter's cost counted in parameters, in bytes and in measured seconds per token.

    The formula is for a fixed draft length; other policies have none.
    """
    if drafting is None or drafting.choice.name != FIXED or not counts.draft_tokens_proposed:
        return None, None, None
    plain_step = sum(run.target_seconds for run in plain) / sum(run.statistics.rounds for run in plain)
    drafter_step = sum(run.drafter_seconds for run in runs) / counts.draft_tokens_proposed
    ratios = (drafting.parameter_ratio, drafting.byte_ratio, drafter_step / plain_step)
    by_parameters, by_bytes, by_seconds = (
        memory_bound_speed_up(counts.block_efficiency, ratio, drafting.choice.draft_length) for ratio in ratios
    )
    return by_parameters, by_bytes, by_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """The place where a text first differs: ``position`` counts generated tokens, ``margin`` is the target's there."""

    prompt: int
    position: int
    margin: float


def divergences(
    target: LanguageModel, prompts: Sequence[Sequence[int]], runs: Mapping[str, Sequence[PromptRun]], way: str
) -> list[Divergence]:
    """Return each prompt whose text by ``way`` differs from the plain one, with the target's logit margin there."""
    places = []
    for number, (prompt, run, base) in enumerate(zip(prompts, runs[way], runs[PLAIN], strict=True)):
        position = accepted_prefix(run.token_ids, base.token_ids)
        if position < max(len(run.token_ids), len(base.token_ids)):
            target.rewind(0)
            last_row = prefill(target, [*prompt, *base.token_ids[:position]])
            places.append(Divergence(prompt=number, position=position, margin=logit_margin(last_row)))
    return places
