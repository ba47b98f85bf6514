"""Only plain files of a bounded size are read, and nothing waits for a pipe's writer."""

import os
import socket

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json, sha256
from edgedraft.runtime.base.plain_files import opened_plain, read_plain

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
