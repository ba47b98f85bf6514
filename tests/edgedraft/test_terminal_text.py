"""A terminal sees no control characters of strangers; a pipe gets generated text as it is."""

import io
import sys

import pytest

from edgedraft.console import Console

TEXT = "a\x1b[2J\x9b1m\x07 é😀\n\tb\r"
CLEANED = "a\\x1b[2J\\x9b1m\\x07 é😀\n\tb\\r"


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("kind", "shown"), [(Screen, CLEANED), (io.StringIO, TEXT)])
def test_generated_text(monkeypatch, kind, shown):
    monkeypatch.setattr(sys, "stdout", kind())
    Console().piece(TEXT)
    assert sys.stdout.getvalue() == shown


@pytest.mark.parametrize("kind", [Screen, io.StringIO])
def test_lines_tables_and_notes_are_cleaned_anywhere(monkeypatch, kind):
    monkeypatch.setattr(sys, "stdout", kind())
    monkeypatch.setattr(sys, "stderr", kind())
    console = Console()
    console.say(TEXT)
    console.table(("name",), [("x\x1b[2Jy",)])
    console.note("n\x1b]0;x\x07")
    assert CLEANED in sys.stdout.getvalue()
    assert "x\\x1b[2Jy" in sys.stdout.getvalue()
    assert "n\\x1b]0;x\\x07" in sys.stderr.getvalue()
