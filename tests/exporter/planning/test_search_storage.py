"""A search's file is taken up again; a user's file or database is refused before the work and never written to."""

import os
import sqlite3

import pytest

from edgedraft.exporter.planning.search import SearchSettings, Whole, tpe_maximise
from edgedraft.exporter.planning.search_storage import require_storage
from edgedraft.runtime.base.errors import EdgedraftError

SPACE = {"size": Whole(low=1, high=100)}


def search(path):
    return tpe_maximise(lambda point: float(point["size"]), SPACE, SearchSettings(trials=2, storage=path))


def database(path, *tables):
    connection = sqlite3.connect(path)
    for table in tables:
        connection.execute(f"CREATE TABLE {table} (id INTEGER)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("content", [None, b""], ids=["missing", "empty"])
def test_a_new_file_is_taken(tmp_path, content):
    path = tmp_path / "%41 #se?rch.db"
    if content is not None:
        path.write_bytes(content)
    require_storage(path)
    first = search(path)
    require_storage(path)
    assert search(path) == first
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("tables", [("photos",), ("studies", "photos"), ("trials",), ("trials", "trial_values")])
def test_a_database_of_something_else_is_refused(tmp_path, tables):
    path = tmp_path / "mine.db"
    database(path, *tables)
    before = path.read_bytes()
    with pytest.raises(EdgedraftError, match=r"mine\.db: not a file that searches are kept in, got a database"):
        search(path)
    assert path.read_bytes() == before


def test_a_database_that_was_only_begun_is_taken(tmp_path):
    path = tmp_path / "search.db"
    database(path, "studies")
    require_storage(path)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "notes.txt").write_text("notes " * 1000)
    for name, rule in (
        ("", "expected the name of a file"),
        ("pipe", "a device, pipe or socket cannot be replaced"),
        ("notes.txt", "not a file that searches are kept in"),
        ("notes.txt/search.db", "must be a folder"),
    ):
        with pytest.raises(EdgedraftError, match=rule):
            require_storage(tmp_path / name)
