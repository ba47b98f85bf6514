"""A body is kept up to its limit and never beyond, however it comes; what is announced as JSON is told apart."""

import asyncio

import pytest

from edgedraft.runtime.serving.guard import MAX_POST_BYTES, body_of, is_json


def read(sizes, announced=None):
    """The body of chunks of these sizes, and how many of them were asked for."""
    asked = []

    async def chunks():
        for size in sizes:
            asked.append(size)
            yield b"x" * size

    return asyncio.run(body_of(chunks(), announced)), len(asked)


@pytest.mark.parametrize("sizes", [[], [0], [5, 7], [MAX_POST_BYTES], [MAX_POST_BYTES - 1, 1]])
def test_a_body_within_the_limit_comes_whole(sizes):
    body, _ = read(sizes)
    assert body == b"x" * sum(sizes)


@pytest.mark.parametrize("sizes", [[MAX_POST_BYTES + 1], [MAX_POST_BYTES, 1], [MAX_POST_BYTES, 1, 0]])
@pytest.mark.parametrize("announced", [None, "5", "not a number", "²"])
def test_a_larger_one_is_none_whatever_was_announced(sizes, announced):
    assert read(sizes, announced) == (None, len(sizes))


def test_a_body_without_end_is_not_read_to_its_end():
    body, asked = read([MAX_POST_BYTES] * 100)
    assert body is None
    assert asked == 9


@pytest.mark.parametrize("announced", [str(10**9), "9" * 10_000])
def test_a_length_far_beyond_the_limit_is_refused_unread(announced):
    assert read([1], announced) == (None, 0)


@pytest.mark.parametrize("kind", [None, "", "application/json", "Application/JSON; charset=utf-8"])
def test_what_may_be_json_is_taken(kind):
    assert is_json(kind)


@pytest.mark.parametrize("kind", ["text/plain", "application/jsonx", "multipart/form-data; boundary=application/json"])
def test_other_content_is_not_json(kind):
    assert not is_json(kind)
