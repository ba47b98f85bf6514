"""One calibration: the pair answers the ranking half, the target the scoring half, and the drafter is traced."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.calibration.answers.batched import Draws
from edgedraft.calibration.answers.sampling import Answering, SampledAnswer, answer_all
from edgedraft.calibration.counts import ACCEPTED, DRAFTER, TARGET, Provenance, TokenCounts, count_tokens
from edgedraft.calibration.data.samples import RANK, SCORE
from edgedraft.calibration.prompts import Prompt, take
from edgedraft.calibration.trace.drawn import trace_draws
from edgedraft.calibration.trace.file import Trace, read_trace, write_trace
from edgedraft.calibration.trace.greedy import trace_answers
from edgedraft.calibration.trace.rows import accepted_tokens
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
    """Which prompts, how they are answered, which sources are counted, and the folder that keeps finished work.

    ``options`` is plain data that names how answers are made; it goes into the provenance of the counts.
    """

    prompts: tuple[Prompt, ...]
    sources: tuple[str, ...]
    draws: Draws | None
    vocab_size: int
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelHandle:
    """One model of the pair: its name, how it answers, and how it is opened to be traced."""

    name: str
    answering: Answering
    open_model: Callable[[], LanguageModel]


def calibrate(
    job: CalibrationJob, target: ModelHandle, drafter: ModelHandle, codec: TextCodec, progress: Progress = silent
) -> Calibration:
    """Run the job or finish one that was stopped; models are opened only when something is left to do."""
    return _Calibrator(job, target, drafter, codec, progress).calibration()


@dataclass(frozen=True, slots=True)
class _Calibrator:
    """A job with everything that it needs; each method makes one part of the result."""

    job: CalibrationJob
    target: ModelHandle
    drafter: ModelHandle
    codec: TextCodec
    progress: Progress

    def calibration(self) -> Calibration:
        ranking = {source: self.ranking(source) for source in self.job.sources}
        scoring = self.answers(TARGET, SCORE)
        return Calibration(
            ranking=ranking,
            scoring_answers=tuple(scoring),
            scoring=self.counted(TARGET, SCORE, [entry.token_ids for entry in scoring]),
            trace=self.trace(SCORE, scoring),
        )

    def ranking(self, source: str) -> TokenCounts:
        """Return the ranking half's counts of one source."""
        if source == ACCEPTED:
            return self.counted(ACCEPTED, RANK, self.accepted(self.answers(TARGET, RANK)))
        return self.counted(source, RANK, [entry.token_ids for entry in self.answers(source, RANK)])

    def answers(self, who: str, split: str) -> list[SampledAnswer]:
        """Return the target's or the drafter's answers to one half."""
        model = self.target if who == TARGET else self.drafter
        report = _named(self.progress, f"{who}'s answers to {split} prompts")
        journal = self.job.folder / f"{who}-{split}.jsonl"
        return answer_all(model.answering, self.codec, take(self.job.prompts, split), journal, report)

    def accepted(self, answers: Sequence[SampledAnswer]) -> list[Sequence[int]]:
        """Return, for each answer, the tokens that the drafter proposed and the target accepted."""
        tokens, offsets = accepted_tokens(self.trace(RANK, answers))
        return [part.tolist() for part in np.split(tokens, offsets[1:-1])]

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

    def trace(self, split: str, answers: Sequence[SampledAnswer]) -> Trace:
        """Teacher-force the drafter, and the target too where answers are drawn, over one half's answers."""
        path = self.job.folder / f"trace-{split}.safetensors"
        if (known := kept(read_trace, path)) is not None:
            return known
        report, draws = _named(self.progress, f"{split} answers traced"), self.job.draws
        drafter = self.drafter.open_model()
        if draws is None:
            trace: Trace = trace_answers(drafter, answers, progress=report)
        else:
            trace = trace_draws(self.target.open_model(), drafter, answers, draws.settings, report)
        write_trace(path, trace)
        return trace


def _named(progress: Progress, name: str) -> Progress:
    return lambda _, done, total: progress(name, done, total)
