"""The law of trying again: as often as allowed, never sooner than asked, and only what another try may cure."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.answers.retries import (
    PassingError,
    Pause,
    RefusedError,
    asked_seconds,
    retried,
    wait_seconds,
)

UNIFORM = st.floats(0, 1, exclude_max=True)


def run(failures, retries):
    """What ``retried`` gives when the first tries fail with ``failures``, and the waits between."""
    waits, left = [], list(failures)

    async def attempt():
        if left:
            raise left.pop(0)
        return "done"

    async def sleep(seconds):
        waits.append(seconds)

    try:
        result = asyncio.run(retried(attempt, lambda: retries, Pause(sleep=sleep, draw=lambda: 0.5)))
    except (PassingError, RefusedError) as error:
        result = error
    return result, waits, len(left)


@given(failures=st.integers(0, 6), retries=st.integers(0, 6))
def test_a_passing_failure_is_tried_again_as_often_as_allowed(failures, retries):
    errors = [PassingError(f"failure {number}") for number in range(failures)]
    result, waits, left = run(errors, retries)
    assert len(waits) == min(failures, retries)
    assert left == max(0, failures - retries - 1)
    assert result == "done" if failures <= retries else str(result) == f"failure {retries}"


def test_a_refusal_is_not_tried_again():
    result, waits, left = run([RefusedError("no", 401), PassingError("never seen")], 5)
    assert (str(result), result.status, waits, left) == ("no", 401, [], 1)


def test_a_server_that_asks_for_hours_is_not_waited_for():
    result, waits, _ = run([PassingError("come back tomorrow", 86400.0)], 5)
    assert (str(result), waits) == ("come back tomorrow", [])


@given(tries=st.integers(0, 2000), asked=st.none() | st.floats(0, 600), drawn=UNIFORM)
def test_a_wait_is_bounded_and_no_shorter_than_asked(tries, asked, drawn):
    wait = wait_seconds(tries, asked, drawn)
    assert 0.5 <= wait <= max(60.0, asked or 0.0)
    assert wait >= (asked or 0.0)


@given(tries=st.integers(0, 100), drawn=UNIFORM, later=UNIFORM)
def test_waits_grow_and_spread(tries, drawn, later):
    assert wait_seconds(tries + 1, None, drawn) >= wait_seconds(tries, None, drawn)
    assert (wait_seconds(tries, None, later) > wait_seconds(tries, None, drawn)) <= (later > drawn)
    assert wait_seconds(tries, None, 0.0) < wait_seconds(tries, None, 0.9)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT", "date": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
    ],
)
def test_what_a_server_asks_to_wait(headers, seconds):
    assert asked_seconds(headers) == seconds
