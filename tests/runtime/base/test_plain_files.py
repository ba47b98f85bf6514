"""Only plain files of a bounded size are read, and nothing waits for a pipe's writer."""

import os
import socket
import subprocess
import sys

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json, sha256
from edgedraft.runtime.base.plain_files import holds_file, opened_plain, read_plain

NO_PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")


def a_pipe(path):
    os.mkfifo(path)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def a_device(path):
    path.symlink_to("/dev/zero")


def a_folder(path):
    path.mkdir()


@NO_PIPES
@pytest.mark.parametrize("make", [a_pipe, a_socket, a_device, a_folder])
@pytest.mark.parametrize("read", [read_json, sha256])
def test_anything_but_a_plain_file_is_refused(tmp_path, monkeypatch, make, read):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    make(tmp_path / "f")
    with pytest.raises(EdgedraftError, match=f"f: expected a plain file, got {make.__name__.replace('_', ' ')}"):
        read(tmp_path / "f")


def test_a_loop_of_links_is_refused(tmp_path):
    (tmp_path / "f").symlink_to("f")
    with pytest.raises(EdgedraftError, match="f: cannot be read"):
        sha256(tmp_path / "f")


@pytest.mark.parametrize("name", ["a\0b", "a" * 300])
def test_names_that_no_file_can_have_are_refused(tmp_path, name):
    with pytest.raises(EdgedraftError, match="cannot be read"):
        read_json(tmp_path / name)


def test_a_file_that_is_not_there_is_told_from_one_that_cannot_be_read(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("file")
    assert [holds_file(tmp_path / name) for name in ("file", "link", "none", "file/none")] == [True, True, False, False]
    (tmp_path / "astray").symlink_to("none")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    refusals = {
        "astray": "no such file",
        "loop": "cannot be read",
        "folder": "expected a plain file, got a folder",
        "pipe": "expected a plain file, got a pipe",
        "a\0b": "cannot be read",
    }
    for name, message in refusals.items():
        with pytest.raises(EdgedraftError, match=message):
            holds_file(tmp_path / name)


def test_a_file_that_memory_cannot_hold_is_refused_in_one_line(tmp_path):
    with (tmp_path / "f").open("wb") as file:
        file.truncate(2**40)
    run = f"""
import resource
from pathlib import Path
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.graph_file import input_readers
resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
try:
    input_readers(Path({str(tmp_path / "f")!r}), ())
except EdgedraftError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True)
    assert done.stdout.endswith("f: cannot be mapped into memory, got Cannot allocate memory\n"), done.stderr


def test_a_sparse_file_of_gigabytes_is_refused_unread(tmp_path):
    with (tmp_path / "f").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(EdgedraftError, match=f"expected a file of at most {2**28:,} bytes, got {2**40:,}"):
        read_json(tmp_path / "f")


def test_a_file_of_just_the_limit_is_read(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("f")
    assert read_plain(tmp_path / "link", 3) == b"abc"
    with pytest.raises(EdgedraftError, match="at most 2 bytes, got 3"), opened_plain(tmp_path / "f", 2):
        pass
