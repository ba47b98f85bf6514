"""Paths that cannot be replaced are refused before the work, each in one line."""

import os
import re

import pytest

from edgedraft.runtime.base import outputs
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.outputs import mount_points, require_replaceable


def refused(path, said):
    with pytest.raises(EdgedraftError, match=f"^{re.escape(said)}"):
        require_replaceable(path)


def test_new_names_files_folders_and_links_to_them_are_fine(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loose").symlink_to("new")
    for name in ("file", "link", "loose", "new", "a/b/c", "."):
        require_replaceable(tmp_path / name)


def test_devices_pipes_and_circles_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    refused(tmp_path / "pipe", f"{tmp_path}/pipe: a device, pipe or socket cannot be replaced")
    refused(outputs.Path("/dev/null"), "/dev/null: a device, pipe or socket cannot be replaced")
    said = f"{tmp_path}/circle: cannot be written, got Too many levels of symbolic links"
    refused(tmp_path / "circle", said)
    refused(outputs.Path("/"), "/: the top of a file system cannot be replaced")


def test_a_file_above_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file" / "a" / "b", f"{tmp_path}/file/a/b: {tmp_path}/file must be a folder, got a file")


def test_a_place_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs.os, "access", lambda path, mode: False)
    refused(tmp_path / "a" / "b", f"{tmp_path}/a/b: nothing can be written in {tmp_path}")


def test_the_current_folder_and_those_above_are_refused(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    for path in (tmp_path / "a", outputs.Path(".")):
        refused(path, f"{path}: the folder that you are in cannot be replaced")
    require_replaceable(tmp_path / "a" / "b" / "c")


def test_mount_points_are_refused_wherever_they_are_below(tmp_path, monkeypatch):
    mounted, mounts = tmp_path / "out put" / "in", tmp_path / "mountinfo"
    mounted.mkdir(parents=True)
    escaped = str(mounted).replace(" ", r"\040")
    mounts.write_text(f"36 35 98:0 / {escaped} rw,noatime - ext4 /dev/root rw\n1 0 0:1 / / rw - ext4 x rw\n")
    monkeypatch.setattr(outputs, "_MOUNTS", mounts)
    assert mount_points(tmp_path / "out put") == [mounted]
    refused(mounted, f"{mounted}: a mount point cannot be replaced, got {mounted} - name a new file or folder inside")
    refused(mounted.parent, f"{mounted.parent}: a mount point cannot be replaced, got {mounted} - unmount it")
    require_replaceable(mounted / "new")


def test_where_no_list_of_mounts_is_folders_are_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "_MOUNTS", tmp_path / "missing")
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.setattr(outputs.os.path, "ismount", lambda path: outputs.Path(path).name == "b")
    assert mount_points(tmp_path / "a") == [tmp_path / "a" / "b"]
