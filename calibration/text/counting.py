"""Count the assistant's tokens of the user's conversations: one pass over samples, in memory that does not grow."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgedraft.calibration.counts import TEXT, Provenance, TokenCounts, no_counts
from edgedraft.calibration.data.reading import PROBLEMS_KEPT, STDIN, ReadOptions, ReadReport, place_of, samples
from edgedraft.calibration.data.samples import Sample, add_digests, group_of
from edgedraft.calibration.text.checkpoint import Checkpoint, CheckpointState
from edgedraft.calibration.text.count_result import CountReport, CountResult, Problem
from edgedraft.calibration.text.spans import SpanFinder, Spans, Turn
from edgedraft.calibration.text.token_counter import Piece, TokenCounter, starts_specially
from edgedraft.calibration.text.words import words_of
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require, to_plain
from edgedraft.runtime.text.codec import TextCodec

_SECONDS_BETWEEN_CHECKPOINTS = 10.0
_SAMPLES_BETWEEN_REPORTS = 1000

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Counting:
    """Everything that decides the counts of a sample.

    ``end_token_ids`` end an answer; the first closes answers where there is no chat template. ``options`` are the
    caller's own, kept in the counts' provenance.
    """

    codec: TextCodec
    end_token_ids: tuple[int, ...]
    vocab_size: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(len(self.end_token_ids) > 0, "counting: expected an end token id", got="none")
        outside = [token_id for token_id in self.end_token_ids if not 0 <= token_id < self.vocab_size]
        require(not outside, f"counting: end token ids must lie in 0..{self.vocab_size - 1}", got=outside)

    @property
    def provenance(self) -> Provenance:
        """Return the provenance of counts that hold nothing yet."""
        return Provenance(source=TEXT, tokenizer_fingerprint=self.codec.fingerprint, options=dict(self.options))


class SampleCounter:
    """Counts samples one by one; `result` can be taken at any time. ``before`` is what was counted already."""

    def __init__(self, counting: Counting, before: CountResult | None = None) -> None:
        self._start = before or CountResult(counts=no_counts(counting.vocab_size, counting.provenance))
        self._by_group = self._start.counts.by_group.copy()
        self._prompts_by_group = self._start.counts.prompts_by_group.copy()
        self._digests = [self._start.counts.provenance.prompts_digest]
        self._numbers: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._problems: list[Problem] = []
        joint = starts_specially(counting.codec)
        closing = counting.codec.tokenizer.id_to_token(counting.end_token_ids[0]) or ""
        self._finder = SpanFinder(counting.codec, closing, with_prompts=joint)
        self._tokens = TokenCounter(counting.codec, counting.end_token_ids, words_of(counting.codec))

    def add(self, number: int, sample: Sample) -> None:
        """Count one sample, or note why it cannot be counted."""
        self._numbers["samples"] += 1
        try:
            spans = self._spans(sample)
            pieces = [Piece(turn.text, sample.text is None, turn.before) for turn in spans.turns]
            digest = sample.digest if pieces else ""
            if pieces:
                self._tokens.add(group_of(digest), pieces)
        except EdgedraftError as error:
            self._numbers["broken"] += 1
            if len(self._problems) < PROBLEMS_KEPT:
                self._problems.append(Problem(number=number, id=sample.id, reason=str(error)))
            return
        self._note(spans)
        if not pieces:
            self._numbers["without_assistant"] += 1
            return
        self._numbers["counted"] += 1
        self._prompts_by_group[group_of(digest)] += 1
        self._digests.append(digest)
        if self._tokens.is_full:
            self._flush()

    def result(self, reading: ReadReport | None = None) -> CountResult:
        """Return everything so far. ``reading`` is the report of what was read since this counter began."""
        self._flush()
        numbers = {**self._numbers, "unended_turns": self._tokens.unended}
        report = CountReport(**numbers, dropped_roles=dict(self._dropped), problems=tuple(self._problems))
        counts = TokenCounts(
            by_group=self._by_group.copy(),
            prompts_by_group=self._prompts_by_group.copy(),
            provenance=replace(self._start.counts.provenance, prompts_digest=self._digests[0]),
        )
        read = self._start.reading + (reading or ReadReport())
        return CountResult(counts=counts, report=self._start.report + report, reading=read)

    def _spans(self, sample: Sample) -> Spans:
        if sample.text is None:
            return self._finder.find(sample)
        return Spans(turns=(Turn(sample.text, None),)) if sample.text else Spans()

    def _note(self, spans: Spans) -> None:
        self._numbers["turns"] += len(spans.turns)
        self._numbers["empty_turns"] += spans.empty
        self._numbers["rewritten_turns"] += spans.rewritten
        self._numbers["fallback_turns"] += spans.fallback
        self._dropped.update(spans.dropped)

    def _flush(self) -> None:
        self._tokens.flush(self._by_group)
        self._digests = [add_digests(*self._digests)]


@dataclass(frozen=True, kw_only=True, slots=True)
class CountingJob:
    """The work of counting: a data set as `samples` reads it, all or one shard of it."""

    counting: Counting
    reference: str | Path
    reading: ReadOptions = field(default_factory=ReadOptions)

    @property
    def facts(self) -> dict[str, Any]:
        """Return all that decides the result, as plain data; a data set of the hub is known by its name alone."""
        counting, path = self.counting, Path(self.reference)
        state = path.stat() if path.is_file() else None
        return {
            "reference": str(path.resolve() if state else self.reference),
            "file": [state.st_size, state.st_mtime_ns] if state else None,
            "tokenizer": counting.codec.encoding_fingerprint,
            "chat": counting.codec.chat_fingerprint,
            "end_token_ids": counting.end_token_ids,
            "vocab_size": counting.vocab_size,
            "options": to_plain(counting.options),
            "reading": to_plain(self.reading),
        }


def count_job(
    job: CountingJob,
    checkpoints: Path | None = None,
    clock: Clock = time.monotonic,
    progress: Progress = silent,
) -> CountResult:
    """Count a job, or finish one that was stopped: the result is the same to the bit.

    ``checkpoints`` is the folder that keeps what is done, about every ten seconds by ``clock``. Standard input is never
    kept, as it cannot be read twice. Raises `EdgedraftError` where a whole data set gives no sample.
    """
    can_resume = checkpoints is not None and str(job.reference) != STDIN
    checkpoint = Checkpoint(checkpoints, job.facts) if checkpoints is not None and can_resume else None
    known = checkpoint.read() if checkpoint is not None else None
    if known is not None and known.finished:
        return known.result
    counter = SampleCounter(job.counting, known.result if known is not None else None)
    report = ReadReport()
    next_number = known.next_number if known is not None else job.reading.start
    last_write = clock()
    numbered = samples(job.reference, report, replace(job.reading, start=next_number))
    for done, (number, sample) in enumerate(numbered, start=1):
        counter.add(number, sample)
        next_number = number + 1
        if done % _SAMPLES_BETWEEN_REPORTS == 0:
            progress("samples counted", done, 0)
        if checkpoint is not None and clock() - last_write >= _SECONDS_BETWEEN_CHECKPOINTS:
            checkpoint.write(CheckpointState(next_number=next_number, result=counter.result(report)))
            last_write = clock()
    result = counter.result(report)
    if job.reading.shard.count == 1:
        result.reading.require_samples(place_of(job.reference))
    if checkpoint is not None:
        checkpoint.write(CheckpointState(next_number=next_number, result=result, finished=True))
    return result
