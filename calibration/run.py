"""One calibration: both models answer the ranking half, the target answers the scoring half, the drafter is traced."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.counts import TokenCounts, count_tokens
from edgedraft.calibration.prompts import RANK, SCORE, Prompt, take
from edgedraft.calibration.sampling import Answer, answer_all
from edgedraft.calibration.trace import AcceptanceTrace, read_trace, trace_answers, write_trace
from edgedraft.runtime.generation import Limits
from edgedraft.runtime.model import LanguageModel
from edgedraft.runtime.progress import Progress, silent
from edgedraft.runtime.text import TextCodec

OpenModel = Callable[[], LanguageModel]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Calibration:
    """What calibration hands to the planner. The scoring half took no part in the ranking counts."""

    ranking_by_target: TokenCounts
    ranking_by_drafter: TokenCounts
    scoring_answers: tuple[Answer, ...]
    scoring: TokenCounts
    trace: AcceptanceTrace


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationJob:
    """Which prompts, how long the answers, which vocabulary, and the folder that keeps finished work."""

    prompts: tuple[Prompt, ...]
    limits: Limits
    vocab_size: int
    folder: Path


def calibrate(
    job: CalibrationJob, target: OpenModel, drafter: OpenModel, codec: TextCodec, progress: Progress = silent
) -> Calibration:
    """Run the job or finish one that was stopped; models are opened only when something is left to do."""

    def answers(who: str, model: OpenModel, split: str) -> list[Answer]:
        report = _named(progress, f"{who}'s answers to {split} prompts")
        journal = job.folder / f"{who}-{split}.jsonl"
        return answer_all(model, codec, take(job.prompts, split), job.limits, journal, report)

    def counted(source: str, found: Sequence[Answer]) -> TokenCounts:
        return count_tokens((entry.token_ids for entry in found), job.vocab_size, source, codec.fingerprint)

    by_target = answers("target", target, RANK)
    by_drafter = answers("drafter", drafter, RANK)
    scoring = answers("target", target, SCORE)
    return Calibration(
        ranking_by_target=counted("target", by_target),
        ranking_by_drafter=counted("drafter", by_drafter),
        scoring_answers=tuple(scoring),
        scoring=counted("target", scoring),
        trace=_trace(job.folder / "trace.safetensors", drafter, scoring, progress),
    )


def _trace(path: Path, drafter: OpenModel, answers: Sequence[Answer], progress: Progress) -> AcceptanceTrace:
    if path.exists():
        return read_trace(path)
    trace = trace_answers(drafter(), answers, progress=progress)
    write_trace(path, trace)
    return trace


def _named(progress: Progress, name: str) -> Progress:
    return lambda _, done, total: progress(name, done, total)
