"""Huge pages change where memory lies, never what is in it."""

import numpy as np
import pytest

from edgedraft.runtime.onnx import huge_pages

MIB = 2**20
MAPS = """\
7f0000000000-7f0000900000 rw-p 00000000 00:00 0
7f1000000000-7f1002000000 rw-p 00000000 00:00 0
7f2000000000-7f2002000000 r--p 00000000 00:00 0
7f3000000000-7f3002000000 rw-p 00000000 08:01 77 /weights.data
7f4000000000-7f4000400000 rw-p 00000000 00:00 0 [heap]
"""


@pytest.fixture
def maps(tmp_path, monkeypatch):
    path = tmp_path / "maps"
    path.write_text(MAPS)
    monkeypatch.setattr(huge_pages, "_MAPS", path)
    monkeypatch.setattr(huge_pages.sys, "platform", "linux")
    return path


@pytest.fixture
def collapsed(monkeypatch):
    """Mappings that were asked to move."""
    found = []
    monkeypatch.setattr(huge_pages, "_collapse", lambda start, end: found.append((start, end)))
    return found


def test_only_large_anonymous_mappings_that_appear_meanwhile_are_moved(maps, collapsed):
    new = "7f5000000000-7f5010000000 rw-p 00000000 00:00 0\n7f6000000000-7f6000100000 rw-p 00000000 00:00 0\n"
    with huge_pages.huge_pages_under_new_memory():
        maps.write_text(MAPS + new)
    assert collapsed == [(0x7F5000000000, 0x7F5010000000)]


def test_a_mapping_that_grew_counts_as_new(maps, collapsed):
    with huge_pages.huge_pages_under_new_memory():
        maps.write_text(MAPS.replace("7f1002000000", "7f1003000000"))
    assert collapsed == [(0x7F1000000000, 0x7F1003000000)]


def test_the_rest_of_a_mapping_that_shrank_is_left_alone(maps, collapsed):
    with huge_pages.huge_pages_under_new_memory():
        maps.write_text(MAPS.replace("7f1002000000", "7f1001000000"))
    assert collapsed == []


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_nothing_happens(platform, maps, collapsed, monkeypatch):
    monkeypatch.setattr(huge_pages.sys, "platform", platform)
    with huge_pages.huge_pages_under_new_memory():
        maps.write_text("7f5000000000-7f5010000000 rw-p 00000000 00:00 0\n")
    assert collapsed == []


def test_an_error_while_opening_is_passed_on(maps, collapsed):
    with pytest.raises(OSError, match="no such model"), huge_pages.huge_pages_under_new_memory():
        raise OSError("no such model")


def test_what_memory_holds_stays_as_it_is():
    """The real thing, where the system allows it and where it does not."""
    with huge_pages.huge_pages_under_new_memory():
        numbers = np.arange(64 * MIB // 8, dtype=np.int64)
    assert (numbers == np.arange(64 * MIB // 8)).all()
