"""A folder that is replaced while it is read is read again; any other error is raised."""

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.one_folder import from_one_folder
from edgedraft.runtime.base.replacing import replacing_folder
from edgedraft.runtime.base.siblings import sibling


def write(folder, text):
    with replacing_folder(folder) as temporary:
        for name in ("first", "second"):
            (temporary / name).write_text(text)


class Reader:
    """Reads both files, and lets the folder be replaced in between a given number of times."""

    def __init__(self, folder, times, breaks=False):
        self.folder, self.times, self.breaks, self.calls = folder, times, breaks, 0

    def __call__(self):
        self.calls += 1
        first = (self.folder / "first").read_text()
        if self.calls <= self.times:
            write(self.folder, str(self.calls))
            if self.breaks:
                raise EdgedraftError("SHA-256")
        return first, (self.folder / "second").read_text()


@pytest.mark.parametrize("breaks", [False, True])
def test_a_replaced_folder_is_read_again(tmp_path, breaks):
    write(tmp_path / "out", "0")
    reader = Reader(tmp_path / "out", 3, breaks)
    assert from_one_folder(tmp_path / "out", reader) == ("3", "3")
    assert reader.calls == 4


def test_an_error_of_a_folder_that_stays_is_raised_at_once(tmp_path):
    calls = []

    def read():
        calls.append(1)
        raise EdgedraftError("SHA-256")

    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(EdgedraftError, match="SHA-256"):
            from_one_folder(path, read)
    assert len(calls) == 2


def test_circles_of_links_and_the_top_are_read_as_they_are(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    for path in (tmp_path / "circle", tmp_path.parents[-1]):
        assert from_one_folder(path, lambda: "read") == "read"


def test_it_does_not_go_on_for_ever(tmp_path):
    write(tmp_path / "out", "0")
    with pytest.raises(EdgedraftError, match="replaced again and again while it was read"):
        from_one_folder(tmp_path / "out", Reader(tmp_path / "out", 10**9))


def test_a_folder_that_a_kill_left_beside_its_name_is_found(tmp_path):
    write(tmp_path / "out", "0")
    (tmp_path / "out").rename(sibling(tmp_path / "out", "old"))
    assert from_one_folder(tmp_path / "out", Reader(tmp_path / "out", 0)) == ("0", "0")
