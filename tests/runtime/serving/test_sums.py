"""A file is read through once: its sum is kept until its size or time changes."""

import os

import pytest

from edgedraft.runtime.base.files import sha256
from edgedraft.runtime.bundle.manifest import FileEntry
from edgedraft.runtime.serving import site
from edgedraft.runtime.serving.site import kept_entry


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files that were read through."""
    names = []
    monkeypatch.setattr(site, "sha256", lambda path: names.append(path.name) or sha256(path))
    return names


def test_a_sum_is_made_once(tmp_path, hashed):
    store = tmp_path / "cache" / "sums.json"
    for name in ("a", "b", "a", "b"):
        file = tmp_path / name
        if not file.exists():
            file.write_text(name * 3)
        assert kept_entry(file, store) == FileEntry(bytes=3, sha256=sha256(file))
    assert hashed == ["a", "b"]


@pytest.mark.parametrize("same_size", [True, False])
def test_a_file_that_changed_is_read_again(tmp_path, hashed, same_size):
    file, store = tmp_path / "a", tmp_path / "sums.json"
    file.write_text("one")
    kept_entry(file, store)
    when = file.stat().st_mtime_ns
    file.write_text("two" if same_size else "four")
    os.utime(file, ns=(when, when + same_size))
    assert kept_entry(file, store).sha256 == sha256(file)
    assert hashed == ["a", "a"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": {"x": 1}}', '{"other": 1}'])
def test_a_broken_store_is_made_anew(tmp_path, hashed, text):
    file, store = tmp_path / "a", tmp_path / "sums.json"
    file.write_text("one")
    store.write_text(text)
    assert kept_entry(file, store) == kept_entry(file, store)
    assert hashed == ["a"]
