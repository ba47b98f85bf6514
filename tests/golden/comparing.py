"""Recorded outcomes on disk, and a readable difference to today's."""

import difflib
import json
from pathlib import Path

_FOLDER = Path(__file__).parent / "recorded"


def recorded(name: str) -> dict[str, object]:
    """Read what was recorded under ``name``; nothing where nothing was."""
    file = _FOLDER / f"{name}.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def record(name: str, outcomes: dict[str, object]) -> None:
    """Write outcomes as the truth that later runs are compared with."""
    _FOLDER.mkdir(exist_ok=True)
    (_FOLDER / f"{name}.json").write_text(_text(outcomes), encoding="utf-8")


def difference(before: object, now: object) -> str:
    """Return a unified difference of two pieces of JSON, with three lines around each change; empty where equal."""
    lines = [_text(each).splitlines() for each in (before, now)]
    return "\n".join(difflib.unified_diff(*lines, "recorded", "now", lineterm=""))


def _text(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
