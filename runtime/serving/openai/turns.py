"""Turns: answers that decode at once take turns, one pass each, first come first served, or share a pass."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

Part = TypeVar("Part")


class Turns(Generic[Part]):
    """Lets one thread at a time go on, in the order in which they asked.

    A thread may hand in a part of a shared pass instead of going on. When all threads have, the first runs the pass.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy = False
        self._waiting: deque[threading.Lock] = deque()
        self._parts: list[tuple[Part, threading.Lock]] = []
        self._runs: threading.Lock | None = None
        self._of_thread = threading.local()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a turn, and give it back at the end of the block."""
        with self._lock:
            mine = self._queued() if self._busy else None
            self._busy = True
        if mine is not None:
            mine.acquire()
        try:
            yield
        finally:
            with self._lock:
                self._hand_over()

    def pass_on(self) -> None:
        """Let the others have a turn each, and go on. After a shared pass they have had it."""
        shared, self._of_thread.shared = getattr(self._of_thread, "shared", False), False
        if shared:
            return
        started = time.perf_counter()
        with self._lock:
            if not self._waiting and not self._parts:
                return
            self._hand_over()  # to one of the others: it goes behind them
            mine = self._queued()
        mine.acquire()
        self._waited(time.perf_counter() - started)

    def share(self, part: Part, run: Callable[[Sequence[Part]], None]) -> None:
        """Hand in a part of a shared pass, and go on when it has run.

        It runs when no thread is left that can go on without it: the one that came first calls ``run`` with all parts.
        """
        started = time.perf_counter()
        mine = _locked()
        with self._lock:
            self._parts.append((part, mine))
            self._hand_over()
        mine.acquire()
        if self._runs is mine:
            parts, self._parts, self._runs = self._parts, [], None  # nobody else has a turn
            try:
                run([each for each, _ in parts])
            finally:
                with self._lock:
                    # Before those that wait: else two pieces of a prompt would be read between two shared passes.
                    self._waiting.extendleft(lock for _, lock in reversed(parts) if lock is not mine)
        self._of_thread.shared = True
        self._waited(time.perf_counter() - started)

    def clock(self) -> float:
        """Return seconds from any starting point on, without those that this thread has waited."""
        return time.perf_counter() - self._seconds_waited

    def charge(self, seconds: float) -> None:
        """Count ``seconds`` of waiting as this thread's own: its share of a pass that another ran."""
        self._waited(-seconds)

    @property
    def _seconds_waited(self) -> float:
        seconds: float = getattr(self._of_thread, "waited", 0.0)
        return seconds

    def _waited(self, seconds: float) -> None:
        self._of_thread.waited = self._seconds_waited + seconds

    def _queued(self) -> threading.Lock:
        mine = _locked()
        self._waiting.append(mine)
        return mine

    def _hand_over(self) -> None:
        if self._waiting:
            self._waiting.popleft().release()  # it stays busy: nobody can come in between
        elif self._parts:
            self._runs = self._parts[0][1]
            self._runs.release()
        else:
            self._busy = False


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock
