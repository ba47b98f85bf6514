"""Rows of a parquet file, one at a time; the only file that knows pyarrow."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from edgedraft.calibration.data.parsing import FIELDS, LAYOUTS
from edgedraft.calibration.data.turns import listed
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.base.records import require

_ROWS_AT_ONCE = 64
_BUFFER_BYTES = 2**20


def rows(path: Path, start: int) -> Iterator[tuple[int, Callable[[], object]]]:
    """Numbers, from 1, and rows of a file, beginning in the row group that holds row ``start``.

    A row becomes Python data only when it is called; one that holds broken text raises `EdgedraftError` then.
    """
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingExtraError("pyarrow", "export") from error
    try:
        # Buffered and not fetched ahead: a row group of gigabytes is then read in small parts.
        with ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            yield from _rows(file, start, str(path))
    except (pyarrow.ArrowException, OSError) as error:
        raise EdgedraftError(f"{path}: cannot be read as parquet", got=first_line(error)) from error


def without_nulls(value: Any) -> Any:
    """Remove the keys that are null: a table gives every object in a column the same keys."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def _rows(file: Any, start: int, where: str) -> Iterator[tuple[int, Callable[[], object]]]:
    columns = [name for name in file.schema_arrow.names if name in FIELDS]
    known = any(name in LAYOUTS for name in columns)
    found = listed(file.schema_arrow.names) or "none"
    require(known, f"{where}: expected one of the columns {', '.join(LAYOUTS)}", got=found)
    number = 1
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if number + size > start:
            yield from _group_rows(file, group, columns, number)
        number += size


def _group_rows(file: Any, group: int, columns: list[str], number: int) -> Iterator[tuple[int, Callable[[], object]]]:
    for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=columns):
        for place in range(batch.num_rows):
            yield number, partial(_row, batch, place)
            number += 1


def _row(batch: Any, place: int) -> object:
    try:
        (row,) = batch.slice(place, 1).to_pylist()
    except UnicodeDecodeError as error:
        raise EdgedraftError("expected UTF-8", got=first_line(error)) from error
    return without_nulls(row)
