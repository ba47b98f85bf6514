"""The same work on several processes of this machine, this one among them, as `ray_engine` does it on a cluster."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

_Batch = Sequence[Any]
_Work = Callable[[_Batch], Any]
_Waiting = deque[tuple[int, _Batch]]


def map_on_processes(work: _Work, batches: Sequence[_Batch], processes: int) -> Iterator[tuple[int, Any]]:
    """Yield the place of every batch and what ``work`` made of it, in whatever order the results come.

    Errors are raised here, `EdgedraftError` where a process was killed. Work, items and results are pickled for the
    other processes, which take a second to start; this one works meanwhile.
    """
    require(processes > 0, "processes: expected at least one", got=processes)
    waiting, done = deque(enumerate(batches)), SimpleQueue[tuple[int, Future[Any]]]()
    with _helped(work, waiting, done, min(processes, len(batches)) - 1):
        for _ in batches:
            own = next(_taken(waiting), None) if done.empty() else None
            if own is not None:
                yield own[0], work(own[1])
            else:
                place, future = done.get()
                yield place, _result(future)


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise EdgedraftError("a process ended in the middle of its work", remedy="take fewer processes") from error


def _taken(waiting: _Waiting) -> Iterator[tuple[int, _Batch]]:
    """Yield what still waits, one after the other, shared with the others that take from it."""
    with suppress(IndexError):
        while True:
            yield waiting.popleft()


@contextmanager
def _helped(
    work: _Work, waiting: _Waiting, done: "SimpleQueue[tuple[int, Future[Any]]]", helpers: int
) -> Iterator[None]:
    """Let so many other processes take from ``waiting`` until nothing waits, or the block ends."""
    if helpers < 1:
        yield
        return

    def feed(pool: ProcessPoolExecutor) -> None:
        for place, batch in _taken(waiting):
            future = pool.submit(_worked, batch)
            wait([future])
            done.put((place, future))

    others = ProcessPoolExecutor(helpers, multiprocessing.get_context("spawn"), _begin, (work,))
    with others as pool, ThreadPoolExecutor(helpers) as feeders:
        for _ in range(helpers):
            feeders.submit(feed, pool)
        try:
            yield
        finally:
            waiting.clear()


_own: dict[str, _Work] = {}
"""In another process, the work that it was started for: pickled once, as it may hold much."""


def _begin(work: _Work) -> None:
    _own["work"] = work


def _worked(batch: _Batch) -> Any:
    return _own["work"](batch)
