"""Replacing in one step: the user's files stay, links stay, files of killed writers are removed."""

import errno
import fcntl
import os
import time
from pathlib import Path

import numpy as np
import pytest

from edgedraft.runtime.base import exchange as exchanging
from edgedraft.runtime.base import replacing, siblings
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.exchange import exchange
from edgedraft.runtime.base.replacing import replacing_file, replacing_folder, resume, tidy
from edgedraft.runtime.base.siblings import sibling, temporary_file, temporary_folder

OURS = {"facts.json", "data"}.__contains__


def texts(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else "a folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "place" / "out"
    (made / "photos" / "empty").mkdir(parents=True)
    for name in ("facts.json", "data", "notes.txt", "photos/a.jpg"):
        (made / name).write_text(f"old {name}")
    (made / "link").symlink_to("nowhere")
    return made


def write(path: Path, ours=OURS, **more) -> None:
    with replacing_folder(path, ours) as temporary:
        for name, text in {"facts.json": "new", **more}.items():
            (temporary / name).write_text(text)


@pytest.fixture(params=["swapped", "retired"])
def way(request, monkeypatch):
    """Both ways of replacing a folder: with and without a system that can exchange names."""
    if request.param == "retired":
        monkeypatch.setattr(replacing, "exchange", lambda first, second: False)
    return request.param


def test_two_names_swap(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_text("b")
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").read_text() == "b"
    assert (tmp_path / "b").is_dir()
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "missing")


def test_a_file_system_that_cannot_swap_says_so(tmp_path, monkeypatch):
    class Library:
        def renameat2(self, *arguments):
            return -1

    monkeypatch.setattr(exchanging.ctypes, "CDLL", lambda *arguments, **options: Library())
    monkeypatch.setattr(exchanging.ctypes, "get_errno", lambda: errno.EINVAL)
    assert not exchange(tmp_path / "a", tmp_path / "b")


def test_the_users_files_go_along(folder, way):
    kept = (folder / "notes.txt").stat().st_ino
    write(folder)
    found = texts(folder)
    assert found == {
        "facts.json": "new",
        "notes.txt": "old notes.txt",
        "photos": "a folder",
        "photos/a.jpg": "old photos/a.jpg",
        "photos/empty": "a folder",
        "link": "a folder",
    }
    assert os.readlink(folder / "link") == "nowhere"
    assert (folder / "notes.txt").stat().st_ino == kept
    assert [each.name for each in folder.parent.iterdir()] == ["out"]


def test_where_no_links_are_the_users_files_are_copied(folder, way, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(replacing.os, "link", refuse)
    write(folder)
    assert (folder / "notes.txt").read_text() == "old notes.txt"
    assert os.readlink(folder / "link") == "nowhere"


def test_what_comes_meanwhile_goes_along(folder, way):
    with replacing_folder(folder, OURS) as temporary:
        (temporary / "facts.json").write_text("new")
        (folder / "late.txt").write_text("just now")
    assert texts(folder)["late.txt"] == "just now"


def test_a_name_of_the_users_and_of_ours_is_refused_and_nothing_changes(folder, way):
    before = texts(folder)
    with pytest.raises(
        EdgedraftError, match=r"notes\.txt: not a file that edgedraft wrote, and the new folder has one"
    ):
        write(folder, **{"notes.txt": "ours"})
    assert texts(folder) == before
    assert [each.name for each in folder.parent.iterdir()] == ["out"]


def test_links_stay(folder, tmp_path):
    (tmp_path / "short").symlink_to(folder)
    (tmp_path / "file").write_text("old")
    (tmp_path / "alias").symlink_to("file")
    write(tmp_path / "short")
    with replacing_file(tmp_path / "alias") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "short").is_symlink() and (tmp_path / "alias").is_symlink()
    assert (folder / "facts.json").read_text() == "new"
    assert (tmp_path / "file").read_text() == "new"


def test_permissions_stay(folder, tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "file").chmod(0o600)
    folder.chmod(0o700)
    write(folder)
    with replacing_file(tmp_path / "file") as temporary:
        temporary.write_text("new")
    assert [each.stat().st_mode & 0o777 for each in (folder, tmp_path / "file")] == [0o700, 0o600]


# --- killed writers ---------------------------------------------------------------------------------------------------


def litter(path: Path) -> tuple[Path, Path]:
    """Temporary files that a killed writer of a folder, and one of a file, leave."""
    half, file = sibling(path, "ab12_xyz"), sibling(path, "qwertyui")
    (half / "target").mkdir(parents=True)
    file.write_text("half")
    return half, file


def test_what_a_killed_writer_left_is_removed_by_the_next(folder):
    left = litter(folder)
    write(folder)
    assert not any(each.exists() for each in left)


def test_what_killed_writers_of_other_names_left_is_removed_too(folder):
    left = litter(folder.with_name("results-2026-11-30"))
    write(folder)
    assert not any(each.exists() for each in left)


def test_what_a_living_writer_has_stays(tmp_path):
    with temporary_folder(tmp_path / "out") as first, temporary_file(tmp_path / "out") as second:
        tidy(tmp_path / "out")
        tidy(tmp_path / "other")
        assert first.is_dir() and second.is_file()
    assert list(tmp_path.iterdir()) == []


def test_names_that_only_look_alike_stay(folder):
    names = (".out.edgedraft-notes", ".out.backup", ".out.edgedraft-abcdefghi", ".edgedraft-abcdefgh", "out~")
    for name in names:
        (folder.parent / name).write_text("the user's")
    write(folder)
    assert sorted(each.name for each in folder.parent.iterdir()) == sorted(["out", *names])


def test_without_locks_a_day_decides(folder, monkeypatch):
    monkeypatch.setattr(siblings, "fcntl", None)
    half, file = litter(folder)
    day_ago = time.time() - 25 * 60 * 60
    os.utime(half, (day_ago, day_ago))
    write(folder)
    assert (half.exists(), file.exists()) == (False, True)


@pytest.mark.parametrize(("finished", "found"), [(True, "new"), (False, "old")])
def test_a_kill_between_two_renames_is_finished_or_undone(folder, finished, found):
    retired = folder.rename(sibling(folder, "old"))
    if finished:
        new = sibling(folder, "new")
        new.mkdir()
        (new / "facts.json").write_text("new")
    resume(folder)
    assert (folder / "facts.json").read_text() == {"new": "new", "old": "old facts.json"}[found]
    assert not retired.exists()
    assert [each.name for each in folder.parent.iterdir()] == ["out"]


def test_a_kill_before_the_first_rename_keeps_the_old(folder):
    sibling(folder, "new").mkdir()
    resume(folder)
    assert (folder / "facts.json").read_text() == "old facts.json"
    assert [each.name for each in folder.parent.iterdir()] == ["out"]


def test_names_may_be_as_long_as_the_system_lets_them(tmp_path):
    name = "n" * 255
    for replaced in (replacing_file, replacing_folder):
        with replaced(tmp_path / replaced.__name__ / name) as temporary:
            assert temporary.exists()
        assert [each.name for each in (tmp_path / replaced.__name__).iterdir()] == [name]


# --- syncing ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch):
    """The names that were synced and renamed, in order; as on Windows, only files opened for writing can be synced."""
    seen = []

    def fsync(handle):
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if path.is_file() and fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "not open for writing")
        seen.append(path.name if ".edgedraft-" not in path.name else "temporary")

    rename, replace = Path.rename, Path.replace
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", lambda path, to: (seen.append("rename"), rename(path, to))[1])
    monkeypatch.setattr(Path, "replace", lambda path, to: (seen.append("rename"), replace(path, to))[1])
    return seen


def test_a_file_is_synced_before_it_gets_its_name_and_the_name_after(tmp_path, calls):
    with replacing_file(tmp_path / "file") as temporary:
        temporary.write_text("new")
    assert calls == ["temporary", "rename", tmp_path.name]


def test_a_folder_is_synced_before_it_gets_its_name_and_the_name_after(tmp_path, calls):
    with replacing_folder(tmp_path / "new" / "out") as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "file").write_text("new")
    assert calls == [tmp_path.name, "file", "inner", "temporary", "rename", "new"]


def test_systems_that_sync_no_folder_are_served(tmp_path, monkeypatch):
    opened = os.open

    def refuse(path, *arguments, **options):
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Windows opens no folder")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    write(tmp_path / "out", data="x")
    write(tmp_path / "out", data="y")
    assert texts(tmp_path / "out") == {"facts.json": "new", "data": "y"}


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_whatever_the_system_says_against_writing_is_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    for replaced in (replacing_file, replacing_folder):
        with pytest.raises(EdgedraftError) as error, replaced(tmp_path / "file" / "out"):
            pass
        rule = f"{tmp_path}/file/out: cannot be written, got File exists"
        assert str(error.value) == f"{rule} - choose another output; nothing that was there before was changed"


def test_a_full_disk_that_numpy_meets_is_one_line(tmp_path):
    with pytest.raises(EdgedraftError, match="no room left while writing"), replacing_file(tmp_path / "a.npy"):
        np.ones(100_000).tofile("/dev/full")


def test_a_file_that_came_where_a_folder_goes_stays(tmp_path):
    with pytest.raises(EdgedraftError, match="a file has come to be there"), replacing_folder(tmp_path / "out"):
        (tmp_path / "out").write_text("mine")
    assert (tmp_path / "out").read_text() == "mine"
