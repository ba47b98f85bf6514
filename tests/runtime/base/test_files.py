"""Writing that cannot be half done: a file or folder is the old one or the new one, and nothing is left beside it."""

import hashlib
import os
import subprocess
import sys

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json, sha256, write_json
from edgedraft.runtime.base.outputs import require_file_name, require_own_file, require_own_folder
from edgedraft.runtime.base.replacing import replacing_file, replacing_folder

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.replacing import replacing_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
path = Path(sys.argv[1])
try:
    with replacing_file(path) as temporary:
        temporary.write_bytes(b"x" * 1_000_000)
except EdgedraftError as error:
    print(error, end="")
"""


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def break_off(replacing, path, error):
    """Begin to write a file or folder and fail half way."""
    with replacing(path) as temporary:
        (temporary / "inner" if temporary.is_dir() else temporary).write_text("ne")
        raise error


def test_a_replaced_file_holds_the_new_content(tmp_path):
    path = tmp_path / "file"
    for content in ("old", "new"):
        with replacing_file(path) as temporary:
            temporary.write_text(content)
        assert path.read_text() == content
    assert names_in(tmp_path) == ["file"]


def test_the_old_file_stays_readable_until_the_block_ends(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"


def test_a_failed_block_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"):
        break_off(replacing_file, path, RuntimeError("half way"))
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["file"]


def test_a_failed_first_write_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        break_off(replacing_file, tmp_path / "file", KeyboardInterrupt())
    assert names_in(tmp_path) == []


def test_missing_parent_folders_are_made(tmp_path):
    with replacing_file(tmp_path / "a" / "b" / "file") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a" / "b" / "file").read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_what_is_written_has_the_usual_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        with replacing_file(tmp_path / "file") as temporary:
            temporary.write_text("new")
        with replacing_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_is_an_edgedraft_error_and_the_old_file_stays(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    remedy = "free some space or choose another folder; nothing that was there before was changed"
    assert done.stdout == f"{path}: no room left while writing, got File too large - {remedy}"
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["file"]


def test_a_new_folder_appears_whole(tmp_path):
    with replacing_folder(tmp_path / "a" / "folder") as temporary:
        (temporary / "inner").write_text("new")
        assert not (tmp_path / "a" / "folder").exists()
    assert (tmp_path / "a" / "folder" / "inner").read_text() == "new"
    assert names_in(tmp_path / "a") == ["folder"]


def test_a_replaced_folder_holds_only_the_new_files(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "retired").write_text("old")
    with replacing_folder(folder) as temporary:
        (temporary / "inner").write_text("new")
    assert names_in(folder) == ["inner"]
    assert names_in(tmp_path) == ["folder"]


def test_a_failed_block_leaves_the_old_folder_and_no_other(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "kept").write_text("old")
    with pytest.raises(RuntimeError, match="half way"):
        break_off(replacing_folder, folder, RuntimeError("half way"))
    assert names_in(folder) == ["kept"]
    assert names_in(tmp_path) == ["folder"]


def test_a_failed_first_folder_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="half way"):
        break_off(replacing_folder, tmp_path / "folder", RuntimeError("half way"))
    assert names_in(tmp_path) == []


def test_json_is_indented_readable_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "a.json", {"name": "é", "list": [1]})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "name": "é",\n  "list": [\n    1\n  ]\n}\n'.encode()
    assert read_json(tmp_path / "a.json") == {"name": "é", "list": [1]}


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"set": {1}})
    assert read_json(tmp_path / "a.json") == 1
    assert names_in(tmp_path) == ["a.json"]


def test_a_missing_json_file_is_named(tmp_path, raises_exactly):
    with raises_exactly(f"{tmp_path}/a.json: no such file"):
        read_json(tmp_path / "a.json")


def test_broken_json_is_named(tmp_path, raises_exactly):
    path = tmp_path / "a.json"
    path.write_text('{"a": ')
    with raises_exactly(f"{path}: not valid JSON, got Expecting value: line 1 column 7 (char 6)"):
        read_json(path)


def test_json_that_is_not_text_is_named(tmp_path, raises_exactly):
    path = tmp_path / "a.json"
    path.write_bytes(b'"\xff"')
    reason = "'utf-8' codec can't decode byte 0xff in position 1: invalid start byte"
    with raises_exactly(f"{path}: not valid JSON, got {reason}"):
        read_json(path)


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "file").write_bytes(b"content" * 100_000)
    assert sha256(tmp_path / "file") == hashlib.sha256(b"content" * 100_000).hexdigest()


# --- what may be replaced --------------------------------------------------------------------------------------------

OURS = ("facts.json", "counts")


def make(folder, *names):
    folder.mkdir()
    for name in names:
        (folder / name).write_text("years of work")
    return folder


def refusal(check, *arguments):
    with pytest.raises(EdgedraftError) as error:
        check(*arguments)
    return str(error.value)


def test_a_new_name_an_empty_folder_and_our_own_are_free(tmp_path):
    require_own_folder(tmp_path / "new", "a work", "facts.json", OURS)
    require_own_folder(make(tmp_path / "empty"), "a work", "facts.json", OURS)
    require_own_folder(make(tmp_path / "ours", *OURS), "a work", "facts.json", OURS)
    require_own_folder(make(tmp_path / "part", "facts.json"), "a work", "facts.json", OURS)
    require_own_folder(make(tmp_path / "more", "facts.json", "thesis"), "a work", "facts.json")


def test_a_folder_with_other_files_is_refused_with_their_names(tmp_path):
    remedy = "choose a new folder: this one is replaced as a whole"
    for name, held in (("mine", ["thesis"]), ("mixed", [*OURS, "thesis"])):
        folder = make(tmp_path / name, *held)
        said = f"{folder}: expected a folder with nothing but a work, got thesis - {remedy}"
        assert refusal(require_own_folder, folder, "a work", "facts.json", OURS) == said
    (make(tmp_path / "inside", *OURS) / "photos").mkdir()
    assert ", got photos - " in refusal(require_own_folder, tmp_path / "inside", "a work", "facts.json", OURS)


def test_what_lacks_the_marker_is_refused(tmp_path):
    file, link = tmp_path / "thesis", tmp_path / "link"
    file.write_text("years of work")
    link.symlink_to(tmp_path / "gone")
    for path in (make(tmp_path / "mine", "counts"), file, link):
        said = f"{path}: exists and is not a work - choose another output folder"
        assert refusal(require_own_folder, path, "a work", "facts.json", OURS) == said
    assert "is not a work" in refusal(require_own_folder, make(tmp_path / "other", "a"), "a work", "facts.json")


def test_a_file_that_nobody_named_is_replaced_only_with_its_marker(tmp_path):
    ours, other, late = (tmp_path / name for name in ("ours", "other", "late"))
    ours.write_bytes(b"x" * 99 + b"MARK")
    other.write_bytes(b"x" * 99)
    late.write_bytes(b"x" * 4096 + b"MARK")
    require_own_file(tmp_path / "new", "a picture", b"MARK")
    require_own_file(ours, "a picture", b"MARK")
    for path in (other, late, tmp_path):
        said = f"{path}: exists and is not a picture - move it elsewhere, or choose another output folder"
        assert refusal(require_own_file, path, "a picture", b"MARK") == said


def test_a_folder_is_no_name_of_a_file(tmp_path):
    require_file_name(tmp_path / "new")
    said = f"{tmp_path}: expected the name of a file, got a folder - add a file's name"
    assert refusal(require_file_name, tmp_path) == said
