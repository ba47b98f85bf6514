"""Reading: memory stays flat, every format is read, a broken entry costs itself and no more."""

import gzip
import io
import json
import tracemalloc
from pathlib import Path

import pytest

from edgedraft.calibration.data import lines as lines_module
from edgedraft.calibration.data import parsing, reading
from edgedraft.calibration.data.reading import (
    PROBLEMS_KEPT,
    ReadOptions,
    ReadReport,
    place_of,
    samples,
    samples_of,
)
from edgedraft.runtime.base.errors import EdgedraftError

EMPTY = 'expected at least one entry, got 0 - write one {"prompt": "..."} a line'


def texts_of(reference, options=None, report=None, stdin=None) -> list[str]:
    found = samples(reference, report or ReadReport(), options or ReadOptions(), stdin)
    return [sample.text for _, sample in found]


def numbers_of(reference, options=None) -> list[int]:
    return [number for number, _ in samples(reference, ReadReport(), options or ReadOptions())]


def reason(reference, options=None, stdin=None) -> str:
    with pytest.raises(EdgedraftError) as error:
        texts_of(reference, options, stdin=stdin)
    assert "\n" not in str(error.value)
    return str(error.value)


def json_lines(*texts: str) -> bytes:
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


def peak_bytes(reference, options=None) -> int:
    tracemalloc.start()
    try:
        total = sum(1 for _ in samples(reference, ReadReport(), options or ReadOptions()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total > 0
    return peak


# --- memory ----------------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_json_lines(tmp_path):
    few, lots = tmp_path / "few.jsonl", tmp_path / "lots.jsonl"
    line = json_lines("x" * 100)
    few.write_bytes(line * 100)
    lots.write_bytes(line * 100_000)
    assert lots.stat().st_size > 10_000_000
    peak_bytes(few)
    assert peak_bytes(lots) < peak_bytes(few) + 100_000 < 1_000_000


def test_memory_that_grows_would_be_seen(tmp_path):
    """The negative control: reading that kept a tenth of those lines would already break the bound above."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(json_lines("x" * 100) * 10_000)
    tracemalloc.start()
    try:
        kept = list(samples(path, ReadReport()))
        assert tracemalloc.get_traced_memory()[1] > 1_000_000
    finally:
        tracemalloc.stop()
    assert len(kept) == 10_000


def test_memory_does_not_grow_with_text_nor_with_one_long_line(tmp_path):
    book, line = tmp_path / "book.txt", tmp_path / "line.txt"
    book.write_bytes(b"some words in a line\n" * 150_000)
    line.write_bytes(b"some words in a line " * 150_000)
    assert peak_bytes(book) < 1_000_000
    assert peak_bytes(line) < 1_000_000


def test_a_line_that_never_ends_costs_no_more_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(lines_module, "LARGEST_ENTRY_BYTES", 10_000)
    monkeypatch.setattr(parsing, "LARGEST_ENTRY_BYTES", 10_000)
    path = tmp_path / "long.jsonl"
    path.write_bytes(json_lines("first") + b'{"text": "' + b"x" * 5_000_000 + b'"}\n' + json_lines("last"))
    report = ReadReport()
    assert texts_of(path, report=report) == ["first", "last"]
    assert report.problems == (f"{path}:2: expected at most 10,000 bytes - write shorter entries, one a line",)
    assert peak_bytes(path) < 500_000


def test_nothing_is_read_before_it_is_asked_for():
    class Endless(io.RawIOBase):
        def readline(self, size=-1):
            return b'{"text": "again"}\n'

        def read(self, size=-1):
            return b'{"text": "first"}\n'

    found = samples("-", ReadReport(), ReadOptions(), Endless())
    assert [next(found)[1].text for _ in range(3)] == ["first", "again", "again"]


# --- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.JSONL", "a", "a.log"])
@pytest.mark.parametrize("zipped", [False, True])
def test_json_lines_are_read_whatever_the_file_is_called(tmp_path, name, zipped):
    path = tmp_path / (f"{name}.gz" if zipped else name)
    path.write_bytes(gzip.compress(json_lines("a", "b")) if zipped else json_lines("a", "b"))
    assert texts_of(path) == texts_of(str(path)) == ["a", "b"]


def test_marks_blank_lines_and_windows_line_ends_take_no_part(tmp_path):
    path = tmp_path / "a.jsonl"
    plain = json_lines("a", "b", "c")
    path.write_bytes(b"\xef\xbb\xbf\r\n  \r\n" + plain.replace(b"\n", b"\r\n\r\n"))
    assert texts_of(path) == ["a", "b", "c"]
    assert numbers_of(path) == [1, 2, 3], "entries are counted, blank lines are not"


def test_only_a_line_feed_ends_a_line(tmp_path):
    path = tmp_path / "a.jsonl"
    text = "a\u2028b\u2029c\x85d\x0be"
    path.write_text(json.dumps({"text": text}, ensure_ascii=False), encoding="utf-8")
    assert texts_of(path) == [text]


def test_a_small_array_of_objects_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"text": "a"}, 3, {"text": "b", "id": "x"}], indent=2))
    report = ReadReport()
    assert [(n, s.id, s.text) for n, s in samples(path, report)] == [(1, "0001", "a"), (3, "x", "b")]
    assert report == ReadReport(read=3, broken=1, problems=(f"{path}:2: expected an object, got int",))


def test_a_large_array_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LARGEST_ENTRY_BYTES", 1000)
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"text": "x" * 1000}]))
    rule = "a JSON array of more than 1,000 bytes cannot be read in parts"
    assert reason(path) == f"{path}: {rule} - write one object a line: jq -c '.[]'"
    path.write_text(json.dumps([{"text": "x" * 900}]))
    assert texts_of(path) == ["x" * 900]


def test_a_broken_or_empty_array_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"text": "a"},')
    assert reason(path) == f"{path}: not valid JSON, got Expecting value at character 16"
    path.write_text("[]")
    assert reason(path) == f"{path}: {EMPTY}"


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a", "a.py"])
def test_text_is_read_in_chunks_or_line_by_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"One.\r\n\r\nTwo.\n" + b"x" * 70_000 + b"\n\nThree.")
    assert "".join(texts_of(path)) == "One.\n\nTwo.\n" + "x" * 70_000 + "\n\nThree."
    assert texts_of(path, ReadOptions(line_by_line=True)) == ["One.", "Two.", "x" * 70_000, "Three."]


def test_text_that_begins_with_a_bracket_stays_text_where_the_name_says_so(tmp_path):
    for name in ("a.txt", "a.md"):
        (tmp_path / name).write_text("{braces}\n")
        assert texts_of(tmp_path / name) == ["{braces}\n"]


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [(json_lines("a", "b"), ["a", "b"]), (b" \n {} \n" + json_lines("c"), ["c"]), (b"a\nb\n", ["a\nb\n"])],
)
def test_standard_input_holds_json_lines_or_text(raw, wanted):
    assert texts_of("-", stdin=io.BytesIO(raw)) == wanted


def test_standard_input_is_the_process_own_where_none_is_given(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json_lines("a"))))
    assert texts_of("-") == ["a"]
    assert reason("-", stdin=io.BytesIO()) == f"stdin: {EMPTY}"
    assert (place_of("-"), place_of(Path("a"))) == ("stdin", "a")


def test_json_lines_in_memory_are_read():
    report = ReadReport()
    found = samples_of('{"text": "a"}\n\n{"text": "\ud83d"}\n', "here", report)
    assert [(number, sample.text) for number, sample in found] == [(1, "a")]
    assert report.problems == ("here:3: expected UTF-8, got byte 0xed at 11",)


# --- what is broken --------------------------------------------------------------------------------------------------


def test_a_broken_entry_costs_itself_and_is_told(tmp_path):
    path = tmp_path / "a.jsonl"
    bad = [b"{", b"\xff\xfe", '{"text": "ä"}'.encode("latin-1"), b"[]", b'{"text": 3}', b'{"messages": []}']
    path.write_bytes(b"\n".join([json_lines("a").strip(), *bad, json_lines("b")]))
    report = ReadReport()
    assert [(n, s.id, s.text) for n, s in samples(path, report)] == [(1, "0001", "a"), (8, "0008", "b")]
    assert (report.read, report.broken) == (8, 6)
    assert report.problems == (
        f"{path}:2: not valid JSON, got Expecting property name enclosed in double quotes at character 2",
        f"{path}:3: expected UTF-8, got byte 0xff at 1",
        f"{path}:4: expected UTF-8, got byte 0xe4 at 11",
        f"{path}:5: expected an object, got list",
        f"{path}:6: text: expected a text that is not empty, got 3",
        f"{path}:7: messages: expected a list of turns, got []",
    )
    assert reason(path, ReadOptions(strict=True)) == report.problems[0]


def test_the_line_is_told_and_not_the_entry(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n\n" + json_lines("a") + b"\n{}\n")
    assert reason(path, ReadOptions(strict=True)).startswith(f"{path}:5: expected one of messages, ")


def test_only_the_first_problems_are_kept(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(json_lines("a") + b"[]\n" * 50)
    report = ReadReport()
    texts_of(path, report=report)
    assert (report.read, report.broken, len(report.problems)) == (51, 50, PROBLEMS_KEPT)
    assert [problem.split(":")[-2] for problem in report.problems] == [str(2 + n) for n in range(PROBLEMS_KEPT)]
    assert len((report + report).problems) == PROBLEMS_KEPT


def test_of_a_text_only_the_broken_line_is_lost(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ntwo\ngr\xf6\xdfer\nfour\na\0b\nsix\n")
    report = ReadReport()
    assert texts_of(path, report=report) == ["one\ntwo\n", "four\n", "six\n"]
    assert report.problems == (
        f"{path}:3: expected UTF-8, got byte 0xf6 at 3",
        f"{path}:5: expected text, got a zero byte",
    )


def test_a_file_in_which_everything_is_broken_says_the_first_problem(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"[]\n{}\n")
    assert reason(path) == f"{path}: none of 2 entries can be read, got {path}:1: expected an object, got list"


@pytest.mark.parametrize("raw", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt", "a"])
def test_an_empty_file_is_refused(tmp_path, name, raw):
    (tmp_path / name).write_bytes(raw)
    assert reason(tmp_path / name) == f"{tmp_path / name}: {EMPTY}"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_utf_16_is_refused_by_name_where_it_is_marked(tmp_path, name, encoding):
    path = tmp_path / name
    marked = encoding == "utf-16"
    path.write_bytes('{"text": "a"}'.encode(encoding))
    wanted = f"{path}: expected UTF-8, got UTF-16 - save it as UTF-8" if marked else f"{path}: none of 1 entries"
    assert reason(path).startswith(wanted)


@pytest.mark.parametrize("raw", [b"no gzip", gzip.compress(json_lines("a") * 99)[:-20], b"\x1f\x8b\x08\0" + b"\1" * 40])
def test_a_damaged_gzip_file_is_named(tmp_path, raw):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(raw)
    assert reason(path).startswith(f"{path}: cannot be read, got ")


def test_what_is_no_file_is_refused(tmp_path):
    remedy = "convert it to JSON lines or parquet"
    table = tmp_path / "a.csv"
    table.write_text("a,b")
    assert reason(tmp_path) == f"{tmp_path}: expected a file, got a folder - name a file in it"
    assert reason(tmp_path / "gone.jsonl") == f"{tmp_path / 'gone.jsonl'}: no such file"
    assert reason("data/gone.jsonl") == "data/gone.jsonl: no such file"
    assert reason("gone") == "gone: no such file"
    assert reason(table) == f"{table}: expected JSON lines, parquet or text, got .csv - {remedy}"


# --- JSON that is no JSON lines ---------------------------------------------------------------------------------------

ENTRIES = [{"prompt": "Sort a list."}, {"prompt": "Reverse a text.", "id": "b"}]
BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("line_by_line", [True, False])
@pytest.mark.parametrize("start", [b"", BOM, b"\n\n", BOM + b"\r\n  "])
@pytest.mark.parametrize("indent", [None, 0, 2])
def test_an_array_on_standard_input_is_read_as_one(start, indent, line_by_line):
    raw = start + json.dumps(ENTRIES, indent=indent).encode() + b"\n"
    options = ReadOptions(strict=True, line_by_line=line_by_line)
    found = [sample for _, sample in samples("-", ReadReport(), options, io.BytesIO(raw))]
    assert [sample.messages[0]["content"] for sample in found] == ["Sort a list.", "Reverse a text."]
    assert [sample.id for sample in found] == ["0001", "b"]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a", "a.data"])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_in_a_file_of_any_name_is_read_as_one(tmp_path, name, indent):
    (tmp_path / name).write_text(json.dumps(ENTRIES, indent=indent))
    found = [sample for _, sample in samples(tmp_path / name, ReadReport(), ReadOptions(strict=True))]
    assert len(found) == 2


@pytest.mark.parametrize("name", ["a.json", "-"])
@pytest.mark.parametrize("count", [1, 2])
def test_indented_objects_are_entries(tmp_path, name, count):
    raw = BOM + b"\n".join(json.dumps(entry, indent=2).encode() for entry in ENTRIES[:count])
    (tmp_path / "a.json").write_bytes(raw)
    reference = name if name == "-" else tmp_path / name
    found = [sample for _, sample in samples(reference, ReadReport(), ReadOptions(strict=True), io.BytesIO(raw))]
    assert len(found) == count


def test_one_object_on_one_line_is_an_entry():
    raw = json.dumps(ENTRIES[0]).encode()
    assert len([*samples("-", ReadReport(), ReadOptions(strict=True), io.BytesIO(raw))]) == 1


def test_lines_with_blank_ones_between_them_and_a_mark_are_lines():
    raw = BOM + b"\n\r\n".join(json.dumps(entry).encode() for entry in ENTRIES) + b"\n\n"
    assert len([*samples("-", ReadReport(), ReadOptions(strict=True), io.BytesIO(raw))]) == 2


def test_a_first_line_that_is_cut_spoils_no_other():
    raw = b'{"prompt":\n' + b"\n".join(json.dumps(entry).encode() for entry in ENTRIES)
    report = ReadReport()
    assert len([*samples("-", report, ReadOptions(), io.BytesIO(raw))]) == 2
    assert (report.read, report.broken) == (3, 1)


@pytest.mark.parametrize("text", ["[INST] Sort. [/INST]", "[1] one\n[2] two", "[ ] buy milk\n[x] sort", "[[Lists]]"])
def test_a_text_that_begins_with_a_bracket_is_a_text(text):
    found = [
        sample for _, sample in samples("-", ReadReport(), ReadOptions(line_by_line=True), io.BytesIO(text.encode()))
    ]
    assert [sample.text for sample in found] == text.split("\n")


@pytest.mark.parametrize("raw", [b"[]", b'["Sort a list."]', b'[{"prompt": "Sort"', b'[{"prompt": "Sort"}] more'])
def test_an_array_that_holds_no_entries_is_refused_not_taken_for_text(raw):
    with pytest.raises(EdgedraftError, match="stdin"):
        list(samples("-", ReadReport(), ReadOptions(strict=True, line_by_line=True), io.BytesIO(raw)))


def test_standard_input_that_is_closed_is_refused(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(EdgedraftError, match="standard input is closed"):
        samples("-", ReadReport())
