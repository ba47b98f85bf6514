"""Counting the assistant's tokens of the user's conversations: one pass over samples, in memory that does not grow."""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgedraft.calibration.counts import TEXT, Provenance, TokenCounts, no_counts
from edgedraft.calibration.data.reading import PROBLEMS_KEPT, STDIN, ReadOptions, ReadReport, place_of, samples
from edgedraft.calibration.data.samples import Sample, add_digests, group_of
from edgedraft.calibration.text.checkpoint import Checkpoint, Done
from edgedraft.calibration.text.encoding import Piece, starts_specially
from edgedraft.calibration.text.spans import SpanFinder, Spans, Turn
from edgedraft.calibration.text.tally import CountReport, Problem, Tally
from edgedraft.calibration.text.words import TokenCounters
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require, to_plain
from edgedraft.runtime.text.codec import TextCodec

_SECONDS_BETWEEN_CHECKPOINTS = 10.0
_SAMPLES_BETWEEN_REPORTS = 1000
_RARER = 100

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
        """Of counts that hold nothing yet."""
        return Provenance(source=TEXT, tokenizer_fingerprint=self.codec.fingerprint, options=dict(self.options))


class Counted:
    """What was counted so far; `add` samples, and take a `tally` whenever one is wanted.

    ``counters`` are those of the codec, where somebody has them already.
    """

    def __init__(self, counting: Counting, before: Tally | None = None, counters: TokenCounters | None = None) -> None:
        self._start = before or Tally(counts=no_counts(counting.vocab_size, counting.provenance))
        self._by_group = self._start.counts.by_group.copy()
        self._prompts_by_group = self._start.counts.prompts_by_group.copy()
        self._digests = [self._start.counts.provenance.prompts_digest]
        self._numbers: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._problems: list[Problem] = []
        joint = starts_specially(counting.codec)
        closing = counting.codec.tokenizer.id_to_token(counting.end_token_ids[0]) or ""
        self._finder = SpanFinder(counting.codec, closing, with_prompts=joint)
        self._counter = (counters or TokenCounters(counting.codec)).counter(counting.end_token_ids)

    def add(self, number: int, sample: Sample) -> None:
        """Count one sample, or note why it cannot be counted."""
        self._numbers["samples"] += 1
        try:
            spans = self._spans(sample)
            pieces = [Piece(turn.text, sample.text is None, turn.before) for turn in spans.turns]
            digest = sample.digest if pieces else ""
            if pieces:
                self._counter.add(group_of(digest), pieces)
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
        if self._counter.is_full:
            self._flush()

    def tally(self, reading: ReadReport | None = None) -> Tally:
        """Everything so far. ``reading`` is the report of what was read since this began."""
        self._flush()
        numbers = {**self._numbers, "unended_turns": self._counter.unended}
        report = CountReport(**numbers, dropped_roles=dict(self._dropped), problems=tuple(self._problems))
        counts = TokenCounts(
            by_group=self._by_group.copy(),
            prompts_by_group=self._prompts_by_group.copy(),
            provenance=replace(self._start.counts.provenance, prompts_digest=self._digests[0]),
        )
        read = self._start.reading + (reading or ReadReport())
        return Tally(counts=counts, report=self._start.report + report, reading=read)

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
        self._counter.flush(self._by_group)
        self._digests = [add_digests(*self._digests)]


@dataclass(frozen=True, kw_only=True, slots=True)
class CountingJob:
    """What to count: a data set as `samples` reads it, all or one shard of it."""

    counting: Counting
    reference: str | Path
    reading: ReadOptions = field(default_factory=ReadOptions)

    @property
    def facts(self) -> dict[str, Any]:
        """All that decides the result, as plain data; a data set of the hub is known by its name alone."""
        counting, path = self.counting, Path(self.reference)
        state = path.stat() if path.is_file() else None
        return {
            "reference": str(path.resolve() if state else self.reference),
            "file": [state.st_size, state.st_mtime_ns] if state else None,
            "tokenizer": counting.codec.fingerprint,
            "chat": counting.codec.chat_fingerprint,
            "end_token_ids": counting.end_token_ids,
            "vocab_size": counting.vocab_size,
            "options": to_plain(counting.options),
            "reading": to_plain(self.reading),
        }


def count_samples(numbered: Iterable[tuple[int, Sample]], counting: Counting, progress: Progress = silent) -> Tally:
    """Count the assistant's tokens of conversations, and all tokens of texts."""
    counted = Counted(counting)
    for _ in _counted_one_by_one(counted, numbered, progress):
        pass
    return counted.tally()


def count_job(
    job: CountingJob,
    checkpoints: Path | None = None,
    clock: Clock = time.monotonic,
    progress: Progress = silent,
    counters: TokenCounters | None = None,
) -> Tally:
    """Count a job, or finish one that was stopped: the result is the same to the bit.

    ``checkpoints`` is the folder that keeps what is done, about every ten seconds by ``clock``; standard input is never
    kept, as it cannot be read twice. ``counters``: see `Counted`. Raises `EdgedraftError` where a whole data
    set gives no sample.
    """
    again = checkpoints is not None and str(job.reference) != STDIN
    checkpoint = Checkpoint(checkpoints, job.facts) if checkpoints is not None and again else None
    known = checkpoint.read() if checkpoint is not None else None
    if known is not None and known.finished:
        return known.tally
    counted = Counted(job.counting, known.tally if known is not None else None, counters)
    report = ReadReport()
    start = known.next_number if known is not None else job.reading.start
    numbered = samples(job.reference, report, replace(job.reading, start=start))
    last = clock()
    for number in _counted_one_by_one(counted, numbered, progress):
        if checkpoint is not None and clock() - last >= _SECONDS_BETWEEN_CHECKPOINTS:
            checkpoint.write(Done(next_number=number + 1, tally=counted.tally(report)))
            last = clock()
        start = number + 1
    tally = counted.tally(report)
    if job.reading.shard.count == 1:
        tally.reading.require_samples(place_of(job.reference))
    if checkpoint is not None:
        checkpoint.write(Done(next_number=start, tally=tally, finished=True))
    return tally


def _counted_one_by_one(counted: Counted, numbered: Iterable[tuple[int, Sample]], progress: Progress) -> Iterator[int]:
    """Count each sample and then give its number."""
    with _rarer_collections():
        for done, (number, sample) in enumerate(numbered, start=1):
            counted.add(number, sample)
            if done % _SAMPLES_BETWEEN_REPORTS == 0:
                progress("samples counted", done, 0)
            yield number


@contextmanager
def _rarer_collections() -> Iterator[None]:
    """Samples are many lists and texts without cycles; looking for those as usual takes a tenth of the time."""
    often, *older = gc.get_threshold()
    gc.set_threshold(_RARER * often, *older)
    try:
        yield
    finally:
        gc.set_threshold(often, *older)
