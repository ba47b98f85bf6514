"""The user's data as samples, one at a time: files, standard input or a data set of the hub, all or one shard of it."""

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from edgedraft.calibration.data.lines import Beginning, chunks, lines
from edgedraft.calibration.data.parsing import (
    LARGEST_ENTRY_BYTES,
    decoded_json,
    is_open_json,
    json_values,
    parse_entry,
    parse_json,
    parse_line,
    parse_text,
)
from edgedraft.calibration.data.samples import Sample
from edgedraft.calibration.data.tables import hub_rows, is_hub_reference, parquet_rows
from edgedraft.runtime.base.errors import EdgedraftError, naming
from edgedraft.runtime.base.plain_files import require_plain_file
from edgedraft.runtime.base.records import require

STDIN = "-"
PROBLEMS_KEPT = 10

_JSON_LINES, _JSON, _TEXT, _PARQUET = (".jsonl", ".ndjson"), ".json", (".txt", ".md"), ".parquet"
_SHELL_PIPES = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
_TABLES = (".csv", ".tsv")
_REMEDY = 'write one {"prompt": "..."} a line'


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One of ``count`` shards; entry i, counted from 1, belongs to the shard whose ``index`` is (i - 1) % ``count``."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        require(self.count >= 1, "shard: expected at least one", got=self.count)
        require(0 <= self.index < self.count, f"shard: expected an index in 0..{self.count - 1}", got=self.index)

    def holds(self, number: int) -> bool:
        """Return whether entry ``number`` belongs to this shard."""
        return (number - 1) % self.count == self.index


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """``start`` is the number of the first entry to read; ``strict`` raises at the first broken entry.

    With ``line_by_line`` every line of a plain text is a sample; otherwise whole lines together, up to 64 KiB.
    """

    strict: bool = False
    shard: Shard = Shard()
    start: int = 1
    line_by_line: bool = False

    def __post_init__(self) -> None:
        require(self.start >= 1, "start: expected the number of an entry, from 1", got=self.start)

    @property
    def whole(self) -> bool:
        """Return whether every entry is read."""
        return self.start == 1 and self.shard.count == 1

    def wants(self, number: int) -> bool:
        """Return whether entry ``number`` is to be read."""
        return number >= self.start and self.shard.holds(number)


@dataclass(kw_only=True, slots=True)
class ReadReport:
    """A report of reading, updated during the work; reports of shards and resumed runs add up.

    ``read`` counts the entries looked at, ``broken`` those of them that gave no sample; ``problems`` are the first
    few, each as ``file:line: reason``.
    """

    read: int = 0
    broken: int = 0
    problems: tuple[str, ...] = ()

    def __add__(self, other: "ReadReport") -> "ReadReport":
        problems = (*self.problems, *other.problems)[:PROBLEMS_KEPT]
        return ReadReport(read=self.read + other.read, broken=self.broken + other.broken, problems=problems)

    def add_problem(self, problem: str) -> None:
        """Count an entry, already counted as read, as broken."""
        self.broken += 1
        self.problems = (*self.problems, problem)[:PROBLEMS_KEPT]

    def require_samples(self, where: str) -> None:
        """Raise `EdgedraftError` where nothing was read or everything was broken; for reports of a whole data set."""
        require(self.read > 0, f"{where}: expected at least one entry", got=0, remedy=_REMEDY)
        first = self.problems[0] if self.problems else None
        require(self.broken < self.read, f"{where}: none of {self.read:,} entries can be read", got=first)


class Entry(NamedTuple):
    """One entry of a data set, not parsed yet.

    ``number`` counts the entries from 1, without blank lines; ``line`` is what errors name: the line in files of lines,
    otherwise the row. ``parse`` gives the sample or raises `EdgedraftError` without a place.
    """

    number: int
    line: int
    parse: Callable[[], Sample]


_ALL = ReadOptions()


def samples(
    reference: str | Path, report: ReadReport, options: ReadOptions = _ALL, stdin: BinaryIO | None = None
) -> Iterator[tuple[int, Sample]]:
    """Numbers and samples of a data set, lazily; memory does not grow with it.

    The reference is a file (JSON lines, a small JSON array, parquet, text; gzipped or not), ``-`` for standard input,
    or a hub id ``owner/name[:config][@split]``. Files whose name says nothing, and standard input, hold JSON lines when
    their first character is ``{``, an array when they begin like one, otherwise text. JSON may be indented. What was
    read and what was broken is noted in ``report``. Raises `EdgedraftError` where the data cannot be read, and at its
    end where all of it was read and gave no sample.
    """
    where = place_of(reference)
    if str(reference) == STDIN:
        entries = _stream_entries(stdin or _standard_input(), where, "", options)
    elif Path(reference).exists():
        entries = _file_entries(Path(reference), options)
    else:
        entries = _hub_entries(Path(reference).as_posix(), options)
    return _read(entries, where, report, options)


def _standard_input() -> BinaryIO:
    stream = getattr(sys.stdin, "buffer", None)
    require(stream is not None, "stdin: standard input is closed", remedy="name a file")
    return cast(BinaryIO, stream)


def place_of(reference: str | Path) -> str:
    """Return the name of a data set in errors."""
    return "stdin" if str(reference) == STDIN else str(reference)


def samples_of(text: str, where: str, report: ReadReport, options: ReadOptions = _ALL) -> Iterator[tuple[int, Sample]]:
    """Numbers and samples of JSON lines in memory."""
    stream = io.BytesIO(text.encode(errors="surrogatepass"))
    return _read(_stream_entries(stream, where, _JSON_LINES[0], options), where, report, options)


def _read(
    entries: Iterator[Entry], where: str, report: ReadReport, options: ReadOptions
) -> Iterator[tuple[int, Sample]]:
    for number, line, parse in entries:
        if not options.wants(number):
            continue
        report.read += 1
        try:
            with naming(f"{where}:{line}"):
                sample = parse()
        except EdgedraftError as error:
            if options.strict:
                raise
            report.add_problem(str(error))
            continue
        yield number, sample
    if options.whole:
        report.require_samples(where)


def _file_entries(path: Path, options: ReadOptions) -> Iterator[Entry]:
    require(not path.is_dir(), f"{path}: expected a file, got a folder", remedy="name a file in it")
    zipped = path.suffix.lower() == ".gz"
    kind = (path.with_suffix("") if zipped else path).suffix.lower()
    remedy = "convert it to JSON lines or parquet"
    require(kind not in _TABLES, f"{path}: expected JSON lines, parquet or text", got=kind, remedy=remedy)
    if kind == _PARQUET:
        require(not zipped, f"{path}: a gzipped parquet file cannot be read in parts", remedy="unpack it")
        require_plain_file(path)
        yield from _row_entries(parquet_rows(path, options.start))
        return
    with _opened(path, zipped) as stream:
        yield from _stream_entries(stream, str(path), kind, options)


def _hub_entries(reference: str, options: ReadOptions) -> Iterator[Entry]:
    known = (*_JSON_LINES, _JSON, *_TEXT, *_TABLES, _PARQUET, ".gz")
    is_file = reference.lower().endswith(known) or not is_hub_reference(reference)
    require(not is_file, f"{reference}: no such file")
    yield from _row_entries(hub_rows(reference, options.start))


def _row_entries(rows: Iterator[tuple[int, Callable[[], object]]]) -> Iterator[Entry]:
    for number, row in rows:
        yield Entry(number, number, partial(_parse_row, row, number))


def _parse_row(row: Callable[[], object], number: int) -> Sample:
    return parse_entry(row(), number)


def _stream_entries(stream: BinaryIO, where: str, kind: str, options: ReadOptions) -> Iterator[Entry]:
    beginning = Beginning(stream, where)
    if kind not in _TEXT and (beginning.is_array or (kind == _JSON and beginning.first == b"[")):
        yield from _array_entries(beginning, where)
        return
    if kind not in _TEXT and beginning.first == b"{" and is_open_json(beginning.first_line()):
        values = _whole_values(beginning)
        if values is not None:
            yield from _value_entries(values)
            return
    is_json = kind in (*_JSON_LINES, _JSON) or (kind not in _TEXT and beginning.first == b"{")
    pieces = lines(beginning) if is_json or options.line_by_line else chunks(beginning)
    parse = parse_json if is_json else parse_line if options.line_by_line else parse_text
    for number, (line, raw) in enumerate(pieces, start=1):
        if options.wants(number):  # here already: a shard passes over most lines of its file
            yield Entry(number, line, partial(parse, raw, number))


def _array_entries(stream: Beginning, where: str) -> Iterator[Entry]:
    """Entries of one JSON array, which has to fit into memory."""
    raw = stream.read(LARGEST_ENTRY_BYTES + 1)
    rule = f"{where}: a JSON array of more than {LARGEST_ENTRY_BYTES:,} bytes cannot be read in parts"
    require(len(raw) <= LARGEST_ENTRY_BYTES, rule, remedy="write one object a line: jq -c '.[]'")
    with naming(where):
        items = decoded_json(raw)
    yield from _value_entries(items)


def _value_entries(items: Iterable[object]) -> Iterator[Entry]:
    for number, item in enumerate(items, start=1):
        yield Entry(number, number, partial(parse_entry, item, number))


def _whole_values(stream: Beginning) -> list[object] | None:
    """Return the values of a stream of indented JSON that fits into memory; None, with nothing read, of any other."""
    raw = stream.read(LARGEST_ENTRY_BYTES + 1)
    values = json_values(raw) if len(raw) <= LARGEST_ENTRY_BYTES else None
    if values is None:
        stream.give_back(raw)
    return values


@contextmanager
def _opened(path: Path, zipped: bool) -> Iterator[BinaryIO]:
    """Open a file to read bytes from; errors of the system or of gzip become one line.

    A pipe is read only where a shell made it for this command: opening another one waits for its writer.
    """
    if not str(path).startswith(_SHELL_PIPES):
        require_plain_file(path)
    try:
        with gzip.open(path) if zipped else path.open("rb") as stream:
            yield cast(BinaryIO, stream)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise EdgedraftError(f"{path}: cannot be read", got=reason) from error
