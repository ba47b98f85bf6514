"""What was typed is found again by the next chat, and only by its user."""

import stat

import pytest

from edgedraft.runtime.talk import history
from edgedraft.runtime.talk.history import read_history, remember


def test_entries_of_several_lines_come_back(tmp_path):
    file = tmp_path / "state" / "history.jsonl"
    assert read_history(file) == []
    for entry in ("one", "two\nlines é", "two\nlines é", "x" * 2001):
        remember(file, entry)
    assert read_history(file) == ["one", "two\nlines é"], "repeated and very long entries are left out"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_oldest_entries_go(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "MOST_ENTRIES", 3)
    for number in range(5):
        remember(tmp_path / "h", str(number))
    assert read_history(tmp_path / "h") == ["2", "3", "4"]


@pytest.mark.parametrize("content", [b"\xff", b'"a', b"{" * 10**5])
def test_a_damaged_file_is_begun_anew(content, tmp_path):
    (tmp_path / "h").write_bytes(content)
    assert read_history(tmp_path / "h") == []
    remember(tmp_path / "h", "a")
    assert read_history(tmp_path / "h") == ["a"]
