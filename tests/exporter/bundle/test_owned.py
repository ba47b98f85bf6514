"""The bundle's own files in a folder are those that its manifest lists, unless someone edited them."""

import hashlib
import json

import pytest

from edgedraft.exporter.bundle.owned import check_output, owned_by
from edgedraft.runtime.base.errors import EdgedraftError

FILES = {"README.md": "library_name: edgedraft", "target/model.onnx": "graph", "tokenizer.json": "{}"}


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "target").mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    sums = {name: {"sha256": hashlib.sha256(text.encode()).hexdigest()} for name, text in FILES.items()}
    (folder / "edgedraft.json").write_text(json.dumps({"files": sums}))
    (folder / "notes.txt").write_text("mine")
    return folder


def test_listed_files_and_the_manifest_are_the_bundles(bundle):
    is_ours = owned_by(bundle)
    assert all(map(is_ours, (*FILES, "edgedraft.json")))
    assert not any(map(is_ours, ("notes.txt", "target/notes.txt", "photos/a.jpg")))
    check_output(bundle)


@pytest.mark.parametrize("name", ["README.md", "tokenizer.json"])
def test_an_edited_text_is_the_users(bundle, name):
    (bundle / name).write_text("my own words")
    assert not owned_by(bundle)(name)
    rule = f"a bundle is replaced as a whole, and this file of it was changed since, got {name} - move it elsewhere"
    with pytest.raises(EdgedraftError, match=rule):
        check_output(bundle)


def test_damaged_weights_are_no_users_work(bundle):
    (bundle / "target" / "model.onnx").write_bytes(bytes(5))
    assert owned_by(bundle)("target/model.onnx")
    check_output(bundle)


@pytest.mark.parametrize("manifest", ["", "{", "[]", '{"files": 1}', "{}"])
def test_a_broken_manifest_leaves_the_names_that_every_bundle_has(bundle, manifest):
    (bundle / "edgedraft.json").write_text(manifest)
    is_ours = owned_by(bundle)
    assert all(map(is_ours, (*FILES, "edgedraft.json", "drafter/index_map.safetensors")))
    assert not is_ours("notes.txt")


def test_a_card_that_an_older_manifest_does_not_list_is_ours_by_what_it_says(bundle):
    manifest = json.loads((bundle / "edgedraft.json").read_text())
    del manifest["files"]["README.md"]
    (bundle / "edgedraft.json").write_text(json.dumps(manifest))
    assert owned_by(bundle)("README.md")
    (bundle / "README.md").write_text("my notes")
    assert not owned_by(bundle)("README.md")
