"""Token maps as text: one id a line, a JSON list, ExecuTorch's JSON object from pruned to original ids."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgedraft.exporter.vocab.deciding import Numbers, whole_numbers
from edgedraft.exporter.vocab.kinds import EXECUTORCH, JSON, TEXT
from edgedraft.runtime.base.errors import EdgedraftError, first_line, shown
from edgedraft.runtime.base.plain_files import read_plain
from edgedraft.runtime.base.records import require

_MOST_BYTES = 2**26


def read_text_map(path: Path) -> Numbers:
    """Read the map in a text file of any of the three kinds."""
    try:
        text = read_plain(path, _MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        remedy = "known files: edgedraft vocab convert --help"
        raise EdgedraftError(f"{path}: not a token map of any known kind", remedy=remedy) from error
    if text.lstrip()[:1] in ("[", "{"):
        return _of_json(path, text)
    return _list(path, TEXT, [_number(path, line, at) for at, line in enumerate(text.splitlines(), 1) if line.strip()])


def _of_json(path: Path, text: str) -> Numbers:
    try:
        value = json.loads(text, object_pairs_hook=_once)
        rows = sorted(int(row) for row in value if row.isdecimal()) if isinstance(value, dict) else []
    except (ValueError, RecursionError) as error:
        raise EdgedraftError(f"{path}: not valid JSON", got=first_line(error)) from error
    if isinstance(value, list):
        return _list(path, JSON, value)
    numbered = len(rows) == len(value) and rows == list(range(len(value)))
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
    require(strange is None, f"{path}: expected whole numbers", got=shown(strange))
    return Numbers(kinds=(kind,), values=whole_numbers(values or [], str(path)), absolute_by_format=True)


def _number(path: Path, line: str, at: int) -> int:
    try:
        return int(line)
    except ValueError as error:
        raise EdgedraftError(f"{path}:{at}: expected one id a line", got=repr(line.strip()[:40])) from error
