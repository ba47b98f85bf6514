"""The law of processes: every batch is worked off once, errors and deaths are told, whoever it was that worked."""

import functools
import os
import time

import pytest

from edgedraft.calibration.process_engine import map_on_processes
from edgedraft.runtime.base.errors import EdgedraftError

BATCHES = [[number, number + 1] for number in range(7)]


@pytest.fixture(autouse=True)
def importable(monkeypatch, pytestconfig):
    """Other processes import the functions below from this file."""
    monkeypatch.syspath_prepend(pytestconfig.rootpath)


def who(batch):
    time.sleep(0.2)  # so that the others, which take a while to start, get their share
    return os.getpid(), sum(batch)


def elsewhere(here, what, batch):
    """Do ``what`` in any other process, and wait for one in this."""
    if os.getpid() == here:
        time.sleep(0.2)
        return sum(batch)
    return what()


def refuse():
    raise EdgedraftError("a rule", got="a fault")


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_batch_is_worked_off_once(processes):
    done = dict(map_on_processes(who, BATCHES * 3, processes))
    assert {place: total for place, (_, total) in done.items()} == dict(enumerate(map(sum, BATCHES * 3)))
    workers = {worker for worker, _ in done.values()}
    assert os.getpid() in workers
    assert len(workers) <= processes


def test_others_help():
    assert len({worker for _, (worker, _) in map_on_processes(who, BATCHES * 6, 2)}) == 2


def test_there_may_be_nothing_to_do():
    assert list(map_on_processes(sum, [], 2)) == []


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (refuse, "a rule, got a fault"),
        (functools.partial(os._exit, 1), "a process ended in the middle of its work - take fewer processes"),
    ],
    ids=["error", "death"],
)
def test_what_befalls_another_process_is_told_here(what, message):
    with pytest.raises(EdgedraftError) as error:
        list(map_on_processes(functools.partial(elsewhere, os.getpid(), what), BATCHES * 6, 2))
    assert str(error.value) == message


def test_whoever_stops_asking_ends_the_work():
    found = map_on_processes(who, BATCHES * 100, 2)
    next(found)
    started = time.monotonic()
    found.close()
    assert time.monotonic() - started < 60


def test_no_process_is_too_few():
    with pytest.raises(EdgedraftError, match="processes: expected at least one, got 0"):
        list(map_on_processes(len, [[1]], 0))
