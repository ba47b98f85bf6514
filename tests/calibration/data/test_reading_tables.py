"""Parquet files and hub data sets give the samples that JSON lines of the same rows give."""

import itertools
import json
import sys
import types

import pytest

from edgedraft.calibration.data import tables
from edgedraft.calibration.data.reading import ReadOptions, ReadReport, Shard, samples
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError
from tests.needs import package

ROWS = [
    {"id": "a", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "split": None},
    {
        "id": "b",
        "messages": [
            {"role": "user", "content": "add"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "function": {"name": "add", "arguments": "{}"}}],
            },
            {"role": "tool", "content": "4", "tool_call_id": "c1"},
        ],
        "own": 2,
    },
    {"id": "c", "messages": [], "own": 3},
    {"id": "d", "messages": [{"role": "user", "content": "ä\u2028ö"}], "split": "score", "own": 4},
]


def read(reference, options=None):
    report = ReadReport()
    return list(samples(reference, report, options or ReadOptions())), report


def reason(reference, options=None) -> str:
    with pytest.raises(EdgedraftError) as error:
        read(reference, options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def write(tmp_path):
    pyarrow = package("pyarrow", extra="export")
    from pyarrow.parquet import write_table

    def write(rows, name="a.parquet", **options):
        path = tmp_path / name
        write_table(pyarrow.Table.from_pylist(rows), path, **options)
        return path

    return write


# --- parquet ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row_group_size", [1, 3, 100])
def test_a_parquet_file_gives_what_json_lines_give(write, tmp_path, row_group_size):
    plain = tmp_path / "a.jsonl"
    plain.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    path = write(ROWS, row_group_size=row_group_size)
    (found, report), (wanted, _) = read(path), read(plain)
    assert found == wanted
    assert [sample.digest for _, sample in found] == [sample.digest for _, sample in wanted]
    assert [number for number, _ in found] == [1, 2, 4]
    assert report.problems == (f"{path}:3: messages: expected a list of turns, got []",)


@pytest.mark.parametrize("row_group_size", [1, 7, 64, 1000])
@pytest.mark.parametrize("start", [1, 8, 65, 150, 151])
def test_shards_of_a_parquet_file_partition_and_a_start_resumes(write, row_group_size, start):
    path = write([{"text": str(number)} for number in range(1, 151)], row_group_size=row_group_size)
    parts = [read(path, ReadOptions(start=start, shard=Shard(index=i, count=4)))[0] for i in range(4)]
    found = sorted((number, sample.text) for part in parts for number, sample in part)
    assert found == [(number, str(number)) for number in range(start, 151)]


def test_row_groups_before_the_start_are_not_opened(write, monkeypatch):
    path = write([{"text": str(number)} for number in range(1, 101)], row_group_size=10)
    opened = []
    original = tables._group_rows
    monkeypatch.setattr(tables, "_group_rows", lambda *given: opened.append(given[1]) or original(*given))
    assert len(read(path, ReadOptions(start=75))[0]) == 26
    assert opened == [7, 8, 9]


def test_a_parquet_file_is_read_in_small_parts(write):
    """pyarrow's own memory: a row group of 15 MB costs a few, whatever its size."""
    import pyarrow

    row = [{"text": "".join(str(i * j % 97) for j in range(1000))} for i in range(10_000)]
    path = write(row, row_group_size=10_000, compression="none", use_dictionary=False)
    del row
    assert path.stat().st_size > 15_000_000
    before, peak = pyarrow.total_allocated_bytes(), 0
    for _ in samples(path, ReadReport()):
        peak = max(peak, pyarrow.total_allocated_bytes() - before)
    assert 0 < peak < 5_000_000


def test_rows_of_other_shards_do_not_become_python_data(write, monkeypatch):
    path = write([{"text": "x"}] * 100)
    made = []
    original = tables._row
    monkeypatch.setattr(tables, "_row", lambda batch, place: made.append(place) or original(batch, place))
    assert len(read(path, ReadOptions(shard=Shard(index=0, count=10)))[0]) == len(made) == 10


def test_a_row_with_broken_text_costs_itself(write, tmp_path):
    import pyarrow
    from pyarrow.parquet import write_table

    raw = pyarrow.array([b"a", b"gr\xf6\xdfer", b"c"])
    texts = pyarrow.Array.from_buffers(pyarrow.string(), 3, raw.buffers())
    write_table(pyarrow.table({"text": texts}), tmp_path / "a.parquet")
    found, report = read(tmp_path / "a.parquet")
    assert [sample.text for _, sample in found] == ["a", "c"]
    assert report.problems[0].startswith(f"{tmp_path / 'a.parquet'}:2: expected UTF-8, got ")


def test_a_parquet_file_that_cannot_be_read_is_refused(write, tmp_path):
    columns = "expected one of the columns messages, conversations, conversation, prompt, instruction, turns, text"
    assert reason(write([{"question": "x", "answer": "y", "id": "1"}])) == (
        f"{tmp_path / 'a.parquet'}: {columns}, got answer, id, question"
    )
    broken = tmp_path / "b.parquet"
    for raw in (b"", b"PAR1", b"x" * 1000, write(ROWS).read_bytes()[:-30]):
        broken.write_bytes(raw)
        assert reason(broken).startswith(f"{broken}: cannot be read as parquet, got ")
    (tmp_path / "c.parquet.gz").touch()
    assert reason(tmp_path / "c.parquet.gz").endswith("a gzipped parquet file cannot be read in parts - unpack it")


def test_an_empty_parquet_file_is_refused(tmp_path):
    pyarrow = package("pyarrow", extra="export")
    from pyarrow.parquet import write_table

    path = tmp_path / "a.parquet"
    write_table(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), path)
    assert reason(path).startswith(f"{path}: expected at least one entry, got 0")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'^pyarrow is not installed - pip install "edgedraft\[export\]"$'):
        read(tmp_path / "a.parquet")


def test_nulls_are_dropped_at_every_depth_but_not_from_lists():
    assert tables.without_nulls({"a": None, "b": [{"c": None, "d": 0}, None, [{"e": None}]], "f": ""}) == {
        "b": [{"d": 0}, None, [{}]],
        "f": "",
    }


# --- hub -------------------------------------------------------------------------------------------------------------


class FakeSet:
    def __init__(self, rows, fault=None):
        self.rows, self.fault = rows, fault

    def skip(self, count):
        return FakeSet(itertools.islice(self.rows, count, None), self.fault)

    def __iter__(self):
        yield from self.rows
        if self.fault:
            raise self.fault


@pytest.fixture
def datasets(monkeypatch):
    """A stand-in for the library: ``load`` says what `load_dataset` gives, ``asked`` what it was asked for."""
    module = types.ModuleType("datasets")
    module.asked = []
    module.load = lambda: FakeSet(iter(ROWS))

    def load_dataset(*given, **options):
        module.asked.append((given, options))
        return module.load()

    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


@pytest.mark.parametrize(
    ("reference", "asked"),
    [
        ("owner/name", ("owner/name", None, "train")),
        ("owner/name@test[:5]", None),
        ("owner/name:python", ("owner/name", "python", "train")),
        ("owner/name@train_sft", ("owner/name", None, "train_sft")),
        ("0-x_y/a.b-c:en-US@test", ("0-x_y/a.b-c", "en-US", "test")),
    ],
)
def test_a_hub_id_names_the_set_its_configuration_and_its_split(datasets, reference, asked):
    if asked is None:
        assert reason(reference) == f"{reference}: no such file"
        return
    found, report = read(reference)
    name, config, split = asked
    assert datasets.asked == [((name, config), {"split": split, "streaming": True})]
    assert [sample.id for _, sample in found] == ["a", "b", "d"]
    assert report.problems == (f"{reference}:3: messages: expected a list of turns, got []",)


def test_shards_of_a_hub_set_partition_and_a_start_resumes(datasets):
    datasets.load = lambda: FakeSet({"text": str(number)} for number in range(1, 31))
    parts = [read("a/b", ReadOptions(start=5, shard=Shard(index=i, count=4)))[0] for i in range(4)]
    found = sorted((number, sample.text) for part in parts for number, sample in part)
    assert found == [(number, str(number)) for number in range(5, 31)]


def test_an_endless_hub_set_is_read_as_far_as_it_is_asked_for(datasets):
    datasets.load = lambda: FakeSet({"text": str(number)} for number in itertools.count(1))
    found = samples("a/b", ReadReport())
    assert [next(found)[1].text for _ in range(3)] == ["1", "2", "3"]


def test_what_the_hub_says_becomes_one_line(datasets):
    def fail():
        raise FileNotFoundError("Dataset 'a/b' doesn't exist\non the hub")

    remedy = "check the name, its configuration, its split and the network"
    datasets.load = fail
    assert reason("a/b") == f"a/b: the hub did not give it, got Dataset 'a/b' doesn't exist - {remedy}"
    datasets.load = lambda: FakeSet(iter(ROWS), ConnectionError("cut off"))
    assert reason("a/b") == f"a/b: the hub did not give it, got cut off - {remedy}"


def test_without_the_library_one_line_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert reason("owner/name") == (
        "owner/name: no such file, and reading it from the hub needs the datasets library - pip install datasets"
    )


@pytest.mark.parametrize("reference", ["name", "a/b/c", "./a/b", "/a/b", "../a", "a/b:", "a/b@", "C:/a", "a b/c", "-"])
def test_paths_are_no_hub_ids(reference):
    assert not tables.is_hub_reference(reference)


def test_a_file_comes_before_a_hub_set_of_the_same_name(datasets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "name").write_text('{"text": "mine"}')
    assert [sample.text for _, sample in read("owner/name")[0]] == ["mine"]
    assert datasets.asked == []
