"""Read rows of tables one at a time: a parquet file, or a data set of the hub, streamed."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from edgedraft.calibration.data.parsing import FIELDS, LAYOUTS
from edgedraft.calibration.data.turns import listed
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.base.records import require

DEFAULT_SPLIT = "train"

_REFERENCE = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(:(?P<config>[^:@]+))?(@(?P<split>[^:@]+))?")
_ROWS_AT_ONCE = 64
_BUFFER_BYTES = 2**20

NumberedRow = tuple[int, Callable[[], object]]
"""A row's number, from 1, and what becomes its Python data when it is called."""


def parquet_rows(path: Path, start: int) -> Iterator[NumberedRow]:
    """Yield the rows of a parquet file, beginning in the row group that holds row ``start``.

    A row that holds broken text raises `EdgedraftError` when it is called.
    """
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingExtraError("pyarrow", "export") from error
    try:
        # Buffered and not fetched ahead: a row group of gigabytes is then read in small parts.
        with ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            yield from _row_groups(file, start, str(path))
    except (pyarrow.ArrowException, OSError) as error:
        raise EdgedraftError(f"{path}: cannot be read as parquet", got=first_line(error)) from error


def is_hub_reference(reference: str) -> bool:
    """Tell whether this could name a data set: ``owner/name``, ``owner/name:config``, ``owner/name:config@split``."""
    return _REFERENCE.fullmatch(reference) is not None


def hub_rows(reference: str, start: int) -> Iterator[NumberedRow]:
    """Yield the rows of a data set from ``start``; the split is ``train`` where the reference names none."""
    try:
        from datasets import load_dataset
    except ImportError as error:
        rule = f"{reference}: no such file, and reading it from the hub needs the datasets library"
        raise EdgedraftError(rule, remedy="pip install datasets") from error
    parts = _REFERENCE.fullmatch(reference)
    assert parts is not None, reference
    split = parts["split"] or DEFAULT_SPLIT
    try:
        rows = load_dataset(parts["name"], parts["config"], split=split, streaming=True)
        for number, row in enumerate(rows.skip(start - 1) if start > 1 else rows, start=start):
            yield number, partial(without_nulls, row)
    except Exception as error:  # the hub's client raises classes of several libraries
        remedy = "check the name, its configuration, its split and the network"
        raise EdgedraftError(f"{reference}: the hub did not give it", got=first_line(error), remedy=remedy) from error


def without_nulls(value: Any) -> Any:
    """Remove the keys that are null: a table gives every object in a column the same keys."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def _row_groups(file: Any, start: int, where: str) -> Iterator[NumberedRow]:
    columns = [name for name in file.schema_arrow.names if name in FIELDS]
    known = any(name in LAYOUTS for name in columns)
    columns_there = listed(file.schema_arrow.names) or "none"
    require(known, f"{where}: expected one of the columns {', '.join(LAYOUTS)}", got=columns_there)
    number = 1
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if number + size > start:
            yield from _group_rows(file, group, columns, number)
        number += size


def _group_rows(file: Any, group: int, columns: list[str], number: int) -> Iterator[NumberedRow]:
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
