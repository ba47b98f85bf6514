"""Rows of a data set on the hub, streamed; the only file that knows the datasets library."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from edgedraft.calibration.data.parquet import without_nulls
from edgedraft.runtime.base.errors import EdgedraftError, first_line

DEFAULT_SPLIT = "train"

_REFERENCE = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(:(?P<config>[^:@]+))?(@(?P<split>[^:@]+))?")


def is_reference(reference: str) -> bool:
    """Tell whether this could name a data set: ``owner/name``, ``owner/name:config``, ``owner/name:config@split``."""
    return _REFERENCE.fullmatch(reference) is not None


def rows(reference: str, start: int) -> Iterator[tuple[int, Callable[[], object]]]:
    """Numbers, from ``start``, and rows of a data set; the split is ``train`` where the reference names none."""
    try:
        from datasets import load_dataset
    except ImportError as error:
        rule = f"{reference}: no such file, and reading it from the hub needs the datasets library"
        raise EdgedraftError(rule, remedy="pip install datasets") from error
    parts = _REFERENCE.fullmatch(reference)
    assert parts is not None, reference
    split = parts["split"] or DEFAULT_SPLIT
    try:
        found = load_dataset(parts["name"], parts["config"], split=split, streaming=True)
        for number, row in enumerate(found.skip(start - 1) if start > 1 else found, start=start):
            yield number, partial(_row, row)
    except Exception as error:  # the hub's client raises classes of several libraries
        remedy = "check the name, its configuration, its split and the network"
        raise EdgedraftError(f"{reference}: the hub did not give it", got=first_line(error), remedy=remedy) from error


def _row(row: Any) -> object:
    return without_nulls(row)
