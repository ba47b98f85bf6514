"""The state folder of each system."""

from pathlib import Path

import pytest

from edgedraft.runtime.base.user_folders import state_folder, user_cache


@pytest.mark.parametrize(
    ("system", "environment", "below_home"),
    [
        ("linux", {}, ".local/state/edgedraft"),
        ("linux", {"XDG_STATE_HOME": "relative"}, ".local/state/edgedraft"),
        ("darwin", {}, "Library/Application Support/edgedraft"),
        ("win32", {}, "AppData/Local/edgedraft"),
    ],
)
def test_the_systems_usual_place(system, environment, below_home):
    assert state_folder(system, environment) == Path.home() / below_home


def test_the_places_that_a_user_chose(tmp_path):
    assert state_folder("linux", {"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "edgedraft"
    assert state_folder("win32", {"LOCALAPPDATA": str(tmp_path)}) == tmp_path / "edgedraft"


@pytest.mark.parametrize("chosen", [None, "XDG_CACHE_HOME", "EDGEDRAFT_CACHE"])
def test_the_cache_is_where_platformdirs_has_it(chosen, tmp_path, monkeypatch):
    import platformdirs

    for name in ("XDG_CACHE_HOME", "EDGEDRAFT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    if chosen:
        monkeypatch.setenv(chosen, str(tmp_path))
    expected = tmp_path if chosen == "EDGEDRAFT_CACHE" else platformdirs.user_cache_path("edgedraft")
    assert user_cache() == expected
