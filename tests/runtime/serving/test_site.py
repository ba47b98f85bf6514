"""A site lists the built page and what a manifest names; a page that is not built is told with its remedy."""

import os

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import sha256
from edgedraft.runtime.bundle.manifest import FileEntry
from edgedraft.runtime.serving.site import SiteFile, listed_files, page_files, page_folder

BUILD = "run `npm ci --ignore-scripts && npm run build` in runtime/web"


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "assets" / "page-1a2b.js").write_text("1")
    return folder


def test_the_page_is_every_file_of_its_folder_and_the_index_is_the_root(page):
    files = page_files(page)
    assert files.keys() == {"", "index.html", "assets/page-1a2b.js"}
    assert files[""] == files["index.html"]
    assert all(file.kept and file.is_there and file.sha256 == sha256(file.path) for file in files.values())


def test_a_page_that_is_not_built_says_how(tmp_path):
    with pytest.raises(EdgedraftError) as error:
        page_files(tmp_path)
    assert str(error.value) == f"{tmp_path}: the page is not built - {BUILD}"


def test_a_page_with_a_link_out_is_refused(page, tmp_path):
    (tmp_path / "secret").write_text("s")
    os.symlink(tmp_path / "secret", page / "assets" / "x.js")
    with pytest.raises(EdgedraftError) as error:
        page_files(page)
    assert str(error.value) == (
        f"{page / 'assets' / 'x.js'}: leads out of the page, got {tmp_path / 'secret'} - build the page again"
    )


def test_the_page_is_looked_for_inside_the_package():
    import edgedraft.runtime

    assert page_folder().parts[-3:] == ("web", "dist", "page")
    assert page_folder().parents[2].samefile(os.path.dirname(edgedraft.runtime.__file__))


def test_only_what_is_listed_is_there_and_only_as_it_was(tmp_path):
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(b"12345")
    files = listed_files(tmp_path, {"a.bin": FileEntry(bytes=5, sha256="s")}, "bundle/")
    assert files == {"bundle/a.bin": SiteFile(path=tmp_path / "a.bin", root=tmp_path, bytes=5, sha256="s")}
    assert files["bundle/a.bin"].is_there
    (tmp_path / "a.bin").write_bytes(b"123456")
    assert not files["bundle/a.bin"].is_there
    (tmp_path / "a.bin").unlink()
    assert not files["bundle/a.bin"].is_there
    (tmp_path / "a.bin").mkdir()
    assert not files["bundle/a.bin"].is_there


def test_a_link_within_the_root_is_followed(tmp_path):
    (tmp_path / "real.bin").write_bytes(b"12")
    os.symlink(tmp_path / "real.bin", tmp_path / "name.bin")
    (file,) = listed_files(tmp_path, {"name.bin": FileEntry(bytes=2, sha256="s")}, "").values()
    assert file.is_there


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("A.JS", "text/javascript; charset=utf-8"),
        ("ort.wasm", "application/wasm"),
        ("model.onnx", "application/octet-stream"),
        ("model.onnx.data", "application/octet-stream"),
        ("chat_template.jinja", "application/octet-stream"),
        ("tokenizer.json", "application/json"),
    ],
)
def test_types_go_by_names_alone(tmp_path, name, kind):
    assert SiteFile(path=tmp_path / name, root=tmp_path, bytes=0, sha256="").media_type == kind
