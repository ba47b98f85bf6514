"""The state folder of each system."""

from pathlib import Path

import pytest

from edgedraft.runtime.base.user_folders import state_folder


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
