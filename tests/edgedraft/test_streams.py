"""Closed pipes, output without Unicode and invalid bytes: an answer, or one line and exit code 2, no traceback."""

import io
import json
import os
import subprocess
import sys

import pytest

from edgedraft.console import Console, prepare_streams, read_input
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.text.characters import decoded, well_formed


def narrow(monkeypatch, encoding="ascii"):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    prepare_streams()
    return raw


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def test_a_terminal_that_cannot_show_a_character_shows_another(monkeypatch):
    raw = narrow(monkeypatch)
    Console().say("sort 中 \udce9")
    assert raw.getvalue() == b"sort ? ?\n"


def test_json_on_a_narrow_terminal_loses_nothing(monkeypatch):
    raw = narrow(monkeypatch, "cp1252")
    Console(as_json=True).result({"text": "é 中"})
    assert json.loads(raw.getvalue()) == {"text": "é 中"}


@pytest.mark.parametrize("say", [Console.say, Console.piece])
def test_output_that_nobody_takes_is_one_line(monkeypatch, say):
    console = Console()
    monkeypatch.setattr(sys, "stdout", Broken())
    with pytest.raises(EdgedraftError, match=r"^the output cannot be written, got Broken pipe$"):
        say(console, "text")


def test_a_closed_terminal_stops_no_work(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Broken())
    console = Console()
    console.note("note")
    console.progress("work", 1, 1)
    monkeypatch.setattr(sys, "stderr", None)
    Console().note("note")


def test_input_of_any_bytes_is_text(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfcaf\xe9 \xff")))
    assert decoded(read_input()) == "caf\ufffd \ufffd"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8"))
    prepare_streams()
    assert Console().read_line("") == "caf\ufffd"
    assert Console().read_line("") is None


def test_closed_input_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    for read in (read_input, lambda: Console().read_line("")):
        with pytest.raises(EdgedraftError, match=r"^standard input is closed - "):
            read()


@pytest.mark.parametrize(
    ("text", "readable"),
    [("caf\udce9", "caf\ufffd"), ("\ud83d\ude00", "😀"), ("\ude00\ud83d", "\ufffd\ufffd"), ("é", "é"), ("", "")],
)
def test_text_is_made_whole(text, readable):
    assert well_formed(text) == readable


def test_help_into_a_pipe_that_closes_is_one_line_and_two():
    command = [sys.executable, "-m", "edgedraft", "--help"]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}  # else argparse itself writes to the pipe, and keeps silent
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        said = child.stderr.read().decode()
        assert (child.wait(), said) == (2, "edgedraft: the output cannot be written, got Broken pipe\n")
