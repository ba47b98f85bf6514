"""A counting job cut into shards that are counted apart, in processes of this machine or wherever else."""

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache, partial, reduce
from operator import add
from pathlib import Path
from typing import Any

from edgedraft.calibration.data.reading import STDIN, ReadOptions, ReadReport, Shard, place_of
from edgedraft.calibration.text.checkpoint import Checkpoint, Done
from edgedraft.calibration.text.counting import Counting, CountingJob, count_job
from edgedraft.calibration.text.tally import Tally
from edgedraft.runtime.progress import Progress, silent
from edgedraft.runtime.records import require
from edgedraft.runtime.text import TEXT_FILES, TextCodec

Work = Callable[[Sequence[Any]], Any]
Mapped = Callable[[Work, Sequence[Sequence[Any]]], Iterator[tuple[int, Any]]]
"""Gives the place of every batch and what the work made of it, in whatever order the results come."""


def map_on_processes(work: Work, batches: Sequence[Sequence[Any]], processes: int) -> Iterator[tuple[int, Any]]:
    """`Mapped` on processes of this machine; work, items and results are pickled, errors are raised here."""
    require(processes > 0, "processes: expected at least one", got=processes)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        places = {pool.submit(work, batch): place for place, batch in enumerate(batches)}
        try:
            for future in as_completed(places):
                yield places[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def count_in_shards(
    job: CountingJob,
    shards: int,
    mapped: Mapped,
    checkpoints: Path | None = None,
    progress: Progress = silent,
) -> Tally:
    """What `count_job` gives, to the bit, from ``shards`` parts counted apart, wherever ``mapped`` has them counted.

    Finished shards are kept in ``checkpoints``, so a run that was stopped does only the others. Take several shards a
    worker, so that little is lost and no worker waits for the slowest.
    """
    require(str(job.reference) != STDIN, "standard input cannot be read by several workers", remedy="name a file")
    require(job.reading.shard.count == 1, "expected a whole data set to cut into shards", got=job.reading.shard)
    require(shards > 0, "shards: expected at least one", got=shards)
    jobs = [_shard_of(job, index, shards) for index in range(shards)]
    kept = [None if checkpoints is None else Checkpoint(checkpoints, each.facts) for each in jobs]
    total, missing = _Total(), []
    for place, checkpoint in enumerate(kept):
        done = None if checkpoint is None else checkpoint.read()
        if done is None or not done.finished:
            missing.append(place)
        else:
            total.add(place, done.tally)
    work = partial(_count, _Packed.of(job))
    for number, tally in mapped(work, [[jobs[place].reading] for place in missing]):
        place = missing[number]
        checkpoint = kept[place]
        if checkpoint is not None:
            checkpoint.write(Done(next_number=job.reading.start, tally=tally, finished=True))
        total.add(place, tally)
        progress("shards counted", len(total.readings), shards)
    whole = total.tally()
    whole.reading.require_samples(place_of(job.reference))
    return whole


class _Total:
    """The sum of shards that come in any order, in the memory of one; what reading reports stays in their order."""

    def __init__(self) -> None:
        self._sum: Tally | None = None
        self.readings: dict[int, ReadReport] = {}

    def add(self, place: int, tally: Tally) -> None:
        self.readings[place] = tally.reading
        self._sum = tally if self._sum is None else self._sum + tally

    def tally(self) -> Tally:
        assert self._sum is not None, "there is at least one shard"
        return replace(self._sum, reading=reduce(add, (self.readings[place] for place in sorted(self.readings))))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Packed:
    """A counting job without the disk it was made on."""

    files: tuple[tuple[str, bytes], ...]
    fingerprint: str
    end_token_ids: tuple[int, ...]
    vocab_size: int
    options: Mapping[str, Any]
    reference: str

    @classmethod
    def of(cls, job: CountingJob) -> "_Packed":
        folder, path = job.counting.codec.folder, Path(job.reference)
        return cls(
            files=tuple((name, (folder / name).read_bytes()) for name in TEXT_FILES if (folder / name).is_file()),
            fingerprint=job.counting.codec.fingerprint,
            end_token_ids=job.counting.end_token_ids,
            vocab_size=job.counting.vocab_size,
            options=dict(job.counting.options),
            reference=str(path.resolve() if path.exists() else job.reference),
        )

    def job(self, reading: ReadOptions) -> CountingJob:
        counting = Counting(
            codec=_codec(self.files, self.fingerprint),
            end_token_ids=self.end_token_ids,
            vocab_size=self.vocab_size,
            options=self.options,
        )
        return CountingJob(counting=counting, reference=self.reference, reading=reading)


def _shard_of(job: CountingJob, index: int, count: int) -> CountingJob:
    return replace(job, reading=replace(job.reading, shard=Shard(index=index, count=count)))


def _count(packed: _Packed, readings: Sequence[ReadOptions]) -> Tally:
    """Count the parts of a data set that one worker was given."""
    return reduce(add, (count_job(packed.job(reading)) for reading in readings))


@lru_cache(maxsize=2)
def _codec(files: tuple[tuple[str, bytes], ...], fingerprint: str) -> TextCodec:
    """The codec in these files, once for each worker; everything is read before they are gone."""
    with tempfile.TemporaryDirectory() as name:
        for file, data in files:
            (Path(name) / file).write_bytes(data)
        return TextCodec(Path(name), fingerprint)
