"""One calibration: the pair answers the ranking half, the target the scoring half, and the drafter is traced."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.calibration.answers.batched import Draws
from edgedraft.calibration.answers.sampling import Answering, SampledAnswer, answer_all
from edgedraft.calibration.counts import DRAFTER, TARGET, Provenance, TokenCounts, count_tokens
from edgedraft.calibration.data.samples import RANK, SCORE
from edgedraft.calibration.prompts import Prompt, take
from edgedraft.calibration.trace.depths import DepthScorer, trace_depths, trace_drawn_depths
from edgedraft.calibration.trace.drawn import trace_draws
from edgedraft.calibration.trace.file import Trace, read_trace, write_trace
from edgedraft.calibration.trace.greedy import trace_answers
from edgedraft.calibration.trace.rows import accepted_tokens, first_choices
from edgedraft.runtime.base.kept import kept
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.core.model import LanguageModel
from edgedraft.runtime.text.codec import TextCodec


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Calibration:
    """The result of calibration, for the planner. The scoring half took no part in the ranking counts.

    ``ranking`` has the counts of the ranking half by source, the most important source first.
    """

    ranking: Mapping[str, TokenCounts]
    scoring_answers: tuple[SampledAnswer, ...]
    scoring: TokenCounts
    trace: Trace


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationJob:
    """Which prompts, how they are answered, which sources are counted, and the folders that keep finished work.

    The target's answers are kept in ``target_folder``, which calibrations with other drafters share, unless ``folder``
    already has them. ``options`` is plain data that names how answers are made; it goes into the provenance of the
    counts.
    """

    prompts: tuple[Prompt, ...]
    sources: tuple[str, ...]
    draws: Draws | None
    vocab_size: int
    folder: Path
    target_folder: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelHandle:
    """One model of the pair: its name, how it answers, and how it is opened to be traced."""

    name: str
    answering: Answering
    open_model: Callable[[], LanguageModel]


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerHandle:
    """A drafter that reads the target's states and cannot answer alone: its name, and how it is opened to be traced.

    ``open_scorer`` is given how many depths are wanted.
    """

    name: str
    open_scorer: Callable[[int], DepthScorer]


TRACED_DEPTHS = 8
"""Depths of a trace for planning: the longest draft of a drafter that feeds on its own states."""


def calibrate(
    job: CalibrationJob,
    target: ModelHandle,
    drafter: ModelHandle | LayerHandle,
    codec: TextCodec,
    progress: Progress = silent,
) -> Calibration:
    """Run the job or finish one that was stopped; models are opened only when something is left to do."""
    return _Calibrator(job, target, drafter, codec, progress).calibration()


@dataclass(frozen=True, slots=True)
class _Calibrator:
    """A job with everything that it needs; each method makes one part of the result."""

    job: CalibrationJob
    target: ModelHandle
    drafter: ModelHandle | LayerHandle
    codec: TextCodec
    progress: Progress

    def calibration(self) -> Calibration:
        ranking = {source: self.ranking(source) for source in self.job.sources}
        scoring = self.answers(self.target, TARGET, SCORE)
        return Calibration(
            ranking=ranking,
            scoring_answers=tuple(scoring),
            scoring=self.counted(TARGET, SCORE, [entry.token_ids for entry in scoring]),
            trace=self.trace(SCORE, scoring, TRACED_DEPTHS),
        )

    def ranking(self, source: str) -> TokenCounts:
        """Return the ranking half's counts of one source.

        A drafter that cannot answer alone is counted by its first choice at every position of the target's answers.
        """
        if source == TARGET:
            return self.counted(source, RANK, [entry.token_ids for entry in self.answers(self.target, source, RANK)])
        if source == DRAFTER and isinstance(self.drafter, ModelHandle):
            return self.counted(source, RANK, [entry.token_ids for entry in self.answers(self.drafter, source, RANK)])
        trace = self.trace(RANK, self.answers(self.target, TARGET, RANK), 1)
        tokens, offsets = (first_choices(trace), trace.offsets) if source == DRAFTER else accepted_tokens(trace)
        return self.counted(source, RANK, [part.tolist() for part in np.split(tokens, offsets[1:-1])])

    def answers(self, model: ModelHandle, who: str, split: str) -> list[SampledAnswer]:
        """Return a model's answers to one half."""
        report = _named(self.progress, f"{who}'s answers to {split} prompts")
        journal = self.job.folder / f"{who}-{split}.jsonl"
        if who == TARGET and not journal.exists():
            journal = (self.job.target_folder or self.job.folder) / journal.name
        return answer_all(model.answering, self.codec, take(self.job.prompts, split), journal, report)

    def counted(self, source: str, split: str, token_ids: Sequence[Sequence[int]]) -> TokenCounts:
        """Count what followed each prompt of one half."""
        provenance = Provenance(
            source=source,
            model={TARGET: self.target.name, DRAFTER: self.drafter.name}.get(
                source, f"{self.drafter.name} for {self.target.name}"
            ),
            tokenizer_fingerprint=self.codec.fingerprint,
            options=self.job.options,
        )
        digests = [prompt.digest for prompt in take(self.job.prompts, split)]
        return count_tokens(zip(digests, token_ids, strict=True), self.job.vocab_size, provenance)

    def trace(self, split: str, answers: Sequence[SampledAnswer], depths: int) -> Trace:
        """Teacher-force the drafter over one half's answers, and the target where its states or its draws decide."""
        path = self.job.folder / f"trace-{split}.safetensors"
        if (known := kept(read_trace, path)) is not None:
            return known
        report = _named(self.progress, f"{split} answers traced")
        trace = self._traced(answers, depths, report)
        write_trace(path, trace)
        return trace

    def _traced(self, answers: Sequence[SampledAnswer], depths: int, report: Progress) -> Trace:
        draws, target = self.job.draws, self.target.open_model
        if isinstance(self.drafter, LayerHandle):
            scorer = self.drafter.open_scorer(depths)
            if draws is None:
                return trace_depths(target(), scorer, answers, report)
            return trace_drawn_depths(target(), scorer, answers, draws.settings, report)
        drafter = self.drafter.open_model()
        if draws is None:
            return trace_answers(drafter, answers, progress=report)
        return trace_draws(target(), drafter, answers, draws.settings, report)


def _named(progress: Progress, name: str) -> Progress:
    return lambda _, done, total: progress(name, done, total)
