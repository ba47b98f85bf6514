"""Count a job in shards, in processes of this machine or wherever else."""

import pickle
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, reduce
from operator import add
from pathlib import Path
from typing import Any

from edgedraft.calibration.data.reading import STDIN, ReadOptions, ReadReport, Shard, place_of
from edgedraft.calibration.text.checkpoint import Checkpoint, CheckpointState
from edgedraft.calibration.text.count_result import CountResult
from edgedraft.calibration.text.counting import Counting, CountingJob, count_job
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tokenizer_files import TEXT_FILES
from edgedraft.runtime.text.codec import TextCodec

Work = Callable[[Sequence[Any]], Any]
Mapped = Callable[[Work, Sequence[Sequence[Any]]], Iterator[tuple[int, Any]]]
"""Yields the place of every batch and what the work made of it, in whatever order the results come."""


def count_in_shards(
    job: CountingJob,
    shards: int,
    mapped: Mapped,
    checkpoints: Path | None = None,
    progress: Progress = silent,
) -> CountResult:
    """Return what `count_job` gives, to the bit, from ``shards`` parts that ``mapped`` has counted by its workers.

    Finished shards are kept in ``checkpoints``, so a run that was stopped does only the others. Take several shards a
    worker, so that little is lost and no worker waits for the slowest.
    """
    require(str(job.reference) != STDIN, "standard input cannot be read by several workers", remedy="name a file")
    require(job.reading.shard.count == 1, "expected a whole data set to cut into shards", got=job.reading.shard)
    require(shards > 0, "shards: expected at least one", got=shards)
    readings = [replace(job.reading, shard=Shard(index=index, count=shards)) for index in range(shards)]
    kept = [
        None if checkpoints is None else Checkpoint(checkpoints, replace(job, reading=each).facts) for each in readings
    ]
    total, missing = _Total(), []
    for place, checkpoint in enumerate(kept):
        state = None if checkpoint is None else checkpoint.read()
        if state is None or not state.finished:
            missing.append(place)
        else:
            total.add(place, state.result)
    path = Path(job.reference)
    work = _ShardWork(job.counting, str(path.resolve() if path.exists() else job.reference))
    for number, result in mapped(work, [[readings[place]] for place in missing]):
        place = missing[number]
        checkpoint = kept[place]
        if checkpoint is not None:
            checkpoint.write(CheckpointState(next_number=job.reading.start, result=result, finished=True))
        total.add(place, result)
        progress("shards counted", len(total.readings), shards)
    whole = total.result()
    whole.reading.require_samples(place_of(job.reference))
    return whole


class _Total:
    """The sum of shards that come in any order, in the memory of one; what reading reports stays in their order."""

    def __init__(self) -> None:
        self._sum: CountResult | None = None
        self.readings: dict[int, ReadReport] = {}

    def add(self, place: int, result: CountResult) -> None:
        self.readings[place] = result.reading
        self._sum = result if self._sum is None else self._sum + result

    def result(self) -> CountResult:
        assert self._sum is not None, "there is at least one shard"
        return replace(self._sum, reading=reduce(add, (self.readings[place] for place in sorted(self.readings))))


class _ShardWork:
    """Counts the parts of a data set that one worker is given.

    Pickled, it takes the tokenizer's files along, so that it works where those of its maker are not.
    """

    def __init__(self, counting: Counting, reference: str) -> None:
        self._counting, self._reference = counting, reference

    @cached_property
    def _packed(self) -> bytes:
        counting, folder = self._counting, self._counting.codec.folder
        files = {name: (folder / name).read_bytes() for name in TEXT_FILES if (folder / name).is_file()}
        rest = {"end_token_ids": counting.end_token_ids, "vocab_size": counting.vocab_size}
        options = dict(counting.options)
        return pickle.dumps((files, counting.codec.fingerprint, rest | {"options": options}, self._reference))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (self._packed,)

    def __call__(self, readings: Sequence[ReadOptions]) -> CountResult:
        """Return the sum of these parts."""
        jobs = [CountingJob(counting=self._counting, reference=self._reference, reading=each) for each in readings]
        return reduce(add, map(count_job, jobs))


@lru_cache(maxsize=2)
def _unpacked(packed: bytes) -> _ShardWork:
    """Unpack the work once for all the parts that a worker is given; every file is read before it is gone."""
    files, fingerprint, options, reference = pickle.loads(packed)
    with tempfile.TemporaryDirectory() as name:
        for file, data in files.items():
            (Path(name) / file).write_bytes(data)
        codec = TextCodec(Path(name), fingerprint)
    return _ShardWork(Counting(codec=codec, **options), reference)
