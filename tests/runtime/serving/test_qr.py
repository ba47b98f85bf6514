"""The code on the terminal is the one of the address: its dark and light fields, two rows a line."""

import pytest
import segno

from edgedraft.runtime.base.errors import MissingExtraError
from edgedraft.runtime.serving.listening import terminal_qr

ADDRESS = "https://192.168.1.7:8417/abcdefghijklmnopqrstuv/"
_HALVES = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}


def fields(text: str) -> list[list[int]]:
    """1 for dark, of each pair of rows that a line of half blocks draws in the terminal's two colours."""
    rows = []
    for line in text.split("\n"):
        plain = line.split("m")[1].split("\x1b")[0] if "\x1b" in line else line
        rows += [[_HALVES[c][half] for c in plain] for half in (0, 1)]
    return rows


def test_the_code_says_the_address_and_has_a_quiet_border():
    wanted = [list(row) for row in segno.make_qr(ADDRESS, error="m").matrix_iter(border=2)]
    drawn = fields(terminal_qr(ADDRESS))[: len(wanted)]
    assert drawn == [[int(field) for field in row] for row in wanted]


def test_it_fits_a_terminal():
    lines = terminal_qr(ADDRESS).split("\n")
    assert len(lines) <= 24


def test_without_segno_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "segno", None)
    with pytest.raises(MissingExtraError) as error:
        terminal_qr(ADDRESS)
    assert str(error.value) == 'segno is not installed - pip install "edgedraft[serve]"'
