"""Token maps as text: one id a line, a JSON list, ExecuTorch's JSON object from pruned to original ids."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgedraft.exporter.vocab.deciding import Numbers, whole_numbers
from edgedraft.exporter.vocab.kinds import EXECUTORCH, JSON, TEXT
from edgedraft.runtime.base.errors import EdgedraftError, first_line
from edgedraft.runtime.base.records import require


def read_text_map(path: Path) -> Numbers:
    """Read the map in a text file of any of the three kinds."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        remedy = "known files: edgedraft vocab convert --help"
        raise EdgedraftError(f"{path}: not a token map of any known kind", remedy=remedy) from error
    if text.lstrip()[:1] in ("[", "{"):
        return _of_json(path, text)
    return _list(path, TEXT, [_number(path, line, at) for at, line in enumerate(text.splitlines(), 1) if line.strip()])


def ids_as_text(ids: Sequence[int]) -> str:
    """Write one id a line."""
    return "".join(f"{each}\n" for each in ids)


def ids_as_json(ids: Sequence[int]) -> str:
    """Write a JSON list."""
    return json.dumps(list(ids)) + "\n"


def ids_as_executorch(ids: Sequence[int]) -> str:
    """Write ExecuTorch's object: from the pruned id, as text, to the original id."""
    return json.dumps({str(row): each for row, each in enumerate(ids)}, indent=2) + "\n"


def _of_json(path: Path, text: str) -> Numbers:
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise EdgedraftError(f"{path}: not valid JSON", got=first_line(error)) from error
    if isinstance(value, list):
        return _list(path, JSON, value)
    rows = [row for row in value if row.isdecimal()]
    numbered = len(rows) == len(value) and sorted(map(int, rows)) == list(range(len(value)))
    rule = f'{path}: expected {{"pruned id": original id}} with pruned ids 0..{len(value) - 1}, each once'
    require(numbered, rule, got=", ".join(list(value)[:4]) or "none")
    return _list(path, EXECUTORCH, [value[row] for row in sorted(value, key=int)])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object, refusing repeated keys: JSON's own reading would silently let the last one win."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice")
    return value


def _list(path: Path, kind: str, values: Sequence[Any]) -> Numbers:
    strange = next((each for each in values if type(each) is not int), None)
    require(strange is None, f"{path}: expected whole numbers", got=repr(strange))
    return Numbers(kinds=(kind,), values=whole_numbers(values or [], str(path)), absolute_by_format=True)


def _number(path: Path, line: str, at: int) -> int:
    try:
        return int(line)
    except ValueError as error:
        raise EdgedraftError(f"{path}:{at}: expected one id a line", got=repr(line.strip()[:40])) from error
