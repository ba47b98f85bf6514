"""The law of shards: counted apart, in any order, in any process, they add up to the whole to the bit."""

import itertools
from functools import partial

import pytest

from edgedraft.calibration.data.reading import ReadOptions, Shard
from edgedraft.calibration.process_engine import map_on_processes
from edgedraft.calibration.text.checkpoint import Checkpoint
from edgedraft.calibration.text.counting import CountingJob, count_job
from edgedraft.calibration.text.shards import count_in_shards
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import to_plain

SHARDS = 4


class Backwards:
    """Batches worked off in this process, the last first."""

    def __init__(self) -> None:
        self.asked = []

    def __call__(self, work, batches):
        self.asked.extend(batches)
        for place in reversed(range(len(batches))):
            yield place, work(batches[place])


@pytest.fixture
def here():
    return Backwards()


def shards_of(job, count):
    readings = [ReadOptions(shard=Shard(index=index, count=count)) for index in range(count)]
    return [CountingJob(counting=job.counting, reference=job.reference, reading=reading) for reading in readings]


def test_processes_count_what_one_process_counts(job, facts):
    whole = count_job(job)
    apart = count_in_shards(job, SHARDS, partial(map_on_processes, processes=2))
    assert facts(apart) == facts(whole)
    assert to_plain(apart.reading) == to_plain(whole.reading)


def test_an_error_in_a_process_is_the_users_line(job):
    job.reference.write_text("{broken\n", encoding="utf-8")
    strict = CountingJob(counting=job.counting, reference=job.reference, reading=ReadOptions(strict=True))
    with pytest.raises(EdgedraftError, match=r"data\.jsonl:1: not valid JSON"):
        count_in_shards(strict, 1, partial(map_on_processes, processes=1))


@pytest.mark.parametrize("order", list(itertools.permutations(range(SHARDS)))[::5])
def test_shards_add_up_in_any_order(job, order, facts):
    parts = [count_job(each) for each in shards_of(job, SHARDS)]
    total = parts[order[0]]
    for place in order[1:]:
        total = total + parts[place]
    assert facts(total) == facts(count_job(job))


def test_finished_shards_are_not_counted_again(job, tmp_path, here, facts):
    whole = facts(count_in_shards(job, SHARDS, here, tmp_path))
    assert len(here.asked) == SHARDS
    lost = Checkpoint(tmp_path, shards_of(job, SHARDS)[2].facts).folder
    (lost / "done.json").unlink()
    here.asked.clear()
    assert facts(count_in_shards(job, SHARDS, here, tmp_path)) == whole
    assert [reading.shard.index for (reading,) in here.asked] == [2]


def test_what_reading_reports_does_not_depend_on_who_is_first(job, here):
    with job.reference.open("a", encoding="utf-8") as file:
        file.write("{broken\n" * 5)
    forwards = count_in_shards(job, SHARDS, lambda work, batches: enumerate(map(work, batches)))
    assert to_plain(count_in_shards(job, SHARDS, here).reading) == to_plain(forwards.reading)
    assert forwards.reading.broken == 6


def test_every_finished_shard_is_told(job, here):
    told = []
    count_in_shards(job, SHARDS, here, progress=lambda *facts: told.append(facts))
    assert told == [("shards counted", done, SHARDS) for done in range(1, SHARDS + 1)]


@pytest.mark.parametrize(("reference", "shards", "rule"), [("-", 2, "standard input"), (None, 0, "at least one")])
def test_what_cannot_be_sharded_is_refused(job, here, reference, shards, rule):
    other = CountingJob(counting=job.counting, reference=reference or job.reference)
    with pytest.raises(EdgedraftError, match=rule):
        count_in_shards(other, shards, here)


def test_data_that_gives_nothing_is_an_error(job, here):
    job.reference.write_text("{broken\n{broken\n", encoding="utf-8")
    with pytest.raises(EdgedraftError, match="none of 2 entries can be read"):
        count_in_shards(job, SHARDS, here)
