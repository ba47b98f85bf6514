"""Keep what was typed, in a file of one JSON text a line, so that the next chat finds it."""

import json
from collections.abc import Sequence
from pathlib import Path

from edgedraft.runtime.base.json_text import parsed_json
from edgedraft.runtime.base.kept import kept
from edgedraft.runtime.base.plain_files import read_plain
from edgedraft.runtime.base.replacing import replacing_file

MOST_ENTRIES = 500
_MOST_BYTES, _LONGEST_ENTRY = 2**22, 2000
_ONLY_THE_USER = 0o600


def read_history(path: Path) -> list[str]:
    """Return the kept entries, oldest first; none where the file is missing or damaged."""
    return kept(_entries, path) or []


def remember(path: Path, entry: str) -> None:
    """Add an entry to the file, which only the user can read; long entries and repeated ones are left out.

    Raises `EdgedraftError` where the file cannot be written.
    """
    before = read_history(path)
    if len(entry) > _LONGEST_ENTRY or before[-1:] == [entry]:
        return
    _write(path, [*before, entry][-MOST_ENTRIES:])


def _entries(path: Path) -> list[str]:
    lines = read_plain(path, _MOST_BYTES).splitlines()
    values = [parsed_json(line, str(path)) for line in lines[-MOST_ENTRIES:]]
    return [value for value in values if isinstance(value, str)]


def _write(path: Path, entries: Sequence[str]) -> None:
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    with replacing_file(path, _ONLY_THE_USER) as temporary:
        temporary.write_text(text, encoding="utf-8")
