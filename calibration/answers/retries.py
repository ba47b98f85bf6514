"""Trying a failed request again: which failures pass by themselves, and how long to wait before the next try."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

Result = TypeVar("Result")

PASSING_STATUSES = frozenset({408, 409, 425, 429})
"""HTTP statuses, beside all from 500 on, that another try may cure."""

_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_ASKED_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """The function that waits, and the source of the uniform number in [0, 1) that spreads the waits."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random


class PassingError(Exception):
    """A failure that another try may cure; ``wait_seconds`` is what the server asked to wait, if anything."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class RefusedError(Exception):
    """A server's answer that another try will not change."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


async def retried(attempt: Callable[[], Awaitable[Result]], retries: Callable[[], int], pause: Pause) -> Result:
    """Return the result of the first ``attempt`` that succeeds; raise `PassingError` once ``retries()`` more failed.

    ``retries`` is asked after each failure, so that the caller can end the tries of all requests at once.
    """
    tries = 0
    while True:
        try:
            return await attempt()
        except PassingError as error:
            asked = error.wait_seconds
            if tries >= retries() or (asked is not None and asked > _LONGEST_ASKED_SECONDS):
                raise
            await pause.sleep(wait_seconds(tries, asked, pause.draw()))
            tries += 1


def wait_seconds(tries: int, asked_seconds: float | None, drawn: float) -> float:
    """Return the wait after ``tries`` retries: doubling, half of it random, and never less than the server asked for.

    Source: "equal jitter" of Brooker 2015, Exponential Backoff and Jitter.
    """
    longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0 ** min(tries, 16))
    return max(longest * (1 + drawn) / 2, asked_seconds or 0.0)


def asked_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for; a date counts from the answer's own ``Date``."""
    text = headers.get("retry-after", "").strip()
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        waited = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, waited.total_seconds())
