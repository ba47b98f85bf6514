"""The output of a command, block by block, for pages that repeat it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class PrintedText:
    """A line of the result, or a ``note`` about the work."""

    text: str
    note: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PrintedTable:
    """A table: its ``header`` and ``rows``, each with one cell a column."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


Printed = PrintedText | PrintedTable
