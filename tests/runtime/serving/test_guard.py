"""A body is kept up to its limit and never beyond, however it comes; JSON is what the standard says."""

import asyncio

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.serving.guard import MAX_POST_BYTES, body_of, parsed


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


def test_values_are_as_written():
    assert parsed(b'{"a": [1, 2.5, null, true, "\\u00fc"]}') == {"a": [1, 2.5, None, True, "ü"]}
    assert parsed(b"1e999") == float("inf")  # the records refuse it by its range


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"[-Infinity]"])
def test_numbers_that_json_has_not_are_refused(text):
    with pytest.raises(EdgedraftError, match=r"^results: not valid JSON, got -?(NaN|Infinity) is no JSON number$"):
        parsed(text)
