"""Shards and resumed runs partition what is read exactly, and their reports add up to that of the whole."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.data.reading import ReadOptions, ReadReport, Shard, samples, samples_of
from edgedraft.runtime.base.errors import EdgedraftError


def json_lines(*texts: str) -> bytes:
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


def texts_of(reference, options=None, report=None) -> list[str]:
    return [sample.text for _, sample in samples(reference, report or ReadReport(), options or ReadOptions())]


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 45))
def test_shards_partition_and_a_start_resumes(count, entries, start):
    text = json_lines(*map(str, range(1, entries + 1))).decode()
    found = []
    for index in range(count):
        options = ReadOptions(shard=Shard(index=index, count=count), start=start)
        mine = [(number, sample.text) for number, sample in samples_of(text, "here", ReadReport(), options)]
        assert all((number - 1) % count == index for number, _ in mine)
        found += mine
    assert sorted(found) == [(number, str(number)) for number in range(start, entries + 1)]


def test_entries_of_other_shards_are_not_parsed(tmp_path):
    """The broken ones all stand in the second shard: the first neither trips over them nor counts them."""
    path = tmp_path / "a.jsonl"
    path.write_bytes((json_lines("fine") + b"broken\n") * 20)
    report = ReadReport()
    assert len(texts_of(path, ReadOptions(strict=True, shard=Shard(index=0, count=2)), report)) == 20
    assert report == ReadReport(read=20)
    with pytest.raises(EdgedraftError, match=r"a\.jsonl:2: not valid JSON"):
        texts_of(path, ReadOptions(strict=True, shard=Shard(index=1, count=2)))


def test_blank_lines_between_entries_leave_no_shard_idle(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(json_lines(*"abcd").replace(b"\n", b"\n\n"))
    assert [texts_of(path, ReadOptions(shard=Shard(index=i, count=2))) for i in (0, 1)] == [["a", "c"], ["b", "d"]]


def test_chunks_of_text_are_shared_out_too(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {number} of a long text\n" for number in range(20_000)))
    whole = texts_of(path)
    parts = [texts_of(path, ReadOptions(shard=Shard(index=i, count=3))) for i in range(3)]
    assert min(map(len, parts)) >= 2
    assert Counter(whole) == Counter(text for part in parts for text in part)
    assert texts_of(path, ReadOptions(start=4)) == whole[3:]


def test_reports_of_shards_add_to_the_report_of_the_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes((json_lines("fine") + b"{}\n[]\n") * 3)
    whole, total = ReadReport(), ReadReport()
    texts_of(path, report=whole)
    for index in range(2):
        part = ReadReport()
        texts_of(path, ReadOptions(shard=Shard(index=index, count=2)), part)
        total += part
    assert (total.read, total.broken) == (whole.read, whole.broken) == (9, 6)
    assert sorted(total.problems) == sorted(whole.problems)


def test_a_shard_or_a_resumed_run_may_find_nothing(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(json_lines("a", "b"))
    assert texts_of(path, ReadOptions(shard=Shard(index=2, count=3))) == []
    assert texts_of(path, ReadOptions(start=3)) == []


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        (lambda: Shard(index=2, count=2), "shard: expected an index in 0..1, got 2"),
        (lambda: Shard(index=-1, count=2), "shard: expected an index in 0..1, got -1"),
        (lambda: Shard(count=0), "shard: expected at least one, got 0"),
        (lambda: ReadOptions(start=0), "start: expected the number of an entry, from 1, got 0"),
    ],
)
def test_impossible_options_are_refused(action, wanted):
    with pytest.raises(EdgedraftError) as error:
        action()
    assert str(error.value) == wanted
