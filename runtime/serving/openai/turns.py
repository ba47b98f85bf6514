"""Turns: answers that decode at once take turns, one pass each, first come first served."""

import threading
import time
from collections import deque


class Turns:
    """Lets one thread at a time go on, in the order in which they asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy = False
        self._waiting: deque[threading.Lock] = deque()

    def take(self) -> None:
        """Wait for a turn."""
        with self._lock:
            if not self._busy:
                self._busy = True
                return
            mine = self._queued()
        mine.acquire()

    def give(self) -> None:
        """Give the turn to the thread that has waited longest."""
        with self._lock:
            self._hand_over()

    def pass_on(self) -> None:
        """Let the thread that has waited longest go first, and wait for the next turn behind the others."""
        with self._lock:
            if not self._waiting:
                return
            mine = self._queued()
            self._hand_over()
        mine.acquire()

    def _queued(self) -> threading.Lock:
        mine = threading.Lock()
        mine.acquire()
        self._waiting.append(mine)
        return mine

    def _hand_over(self) -> None:
        if self._waiting:
            self._waiting.popleft().release()  # it stays busy: nobody can come in between
        else:
            self._busy = False


class TurnTaker:
    """The turns of one answer. Its `clock` stands still while it waits, so that passes are timed alone."""

    def __init__(self, turns: Turns) -> None:
        self._turns, self._waited = turns, 0.0

    def __enter__(self) -> "TurnTaker":
        self._turns.take()
        return self

    def __exit__(self, *_: object) -> None:
        self._turns.give()

    def clock(self) -> float:
        """Return seconds from any starting point on, without those of waiting."""
        return time.perf_counter() - self._waited

    def next(self) -> None:
        """Let the others have a turn each, and go on."""
        started = time.perf_counter()
        self._turns.pass_on()
        self._waited += time.perf_counter() - started
