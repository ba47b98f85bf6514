"""A bundle is opened only when the folder keeps everything that its manifest promises."""

import json
import os
import re

import numpy as np
import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import sha256
from edgedraft.runtime.base.records import to_plain
from edgedraft.runtime.base.tokenizer_files import tokenizer_fingerprint
from edgedraft.runtime.bundle.index_map_file import write_index_map
from edgedraft.runtime.bundle.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    BundleManifest,
    CalibrationEntry,
    FileEntry,
    ModelEntry,
)
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.plan import DecodingPlan

GRAPHS = ("target/model.onnx", "drafter/model.onnx")
FILES = (*GRAPHS, *(f"{name}.data" for name in GRAPHS), "map.safetensors", "tokenizer.json", "README.md")
KEPT = (1, 65, 256)
VOCAB_SIZE = 257
END = 256
AGAIN = "export the bundle again or copy it afresh"


def model(folder):
    return ModelEntry(
        name=folder,
        base_model=f"maker/{folder}",
        license="apache-2.0",
        graph=f"{folder}/model.onnx",
        precision="int4",
        parameters=10,
        weight_bytes=5,
        conversion="0" * 64,
        data=(f"{folder}/model.onnx.data",),
        largest_tensor_bytes=5,
        half=False,
    )


def plain_manifest(path):
    """What a correct manifest of the files in ``path`` says."""
    manifest = BundleManifest(
        schema_version=SCHEMA_VERSION,
        target=model("target"),
        drafter=model("drafter"),
        index_map="map.safetensors",
        target_vocab_size=VOCAB_SIZE,
        context_length=32,
        end_token_ids=(END,),
        tokenizer_fingerprint=tokenizer_fingerprint(path / "tokenizer.json"),
        calibration=CalibrationEntry(
            prompts="coding",
            ranking_prompts=2,
            scoring_prompts=1,
            ranking_tokens=20,
            scoring_tokens=10,
            coverage=0.9,
            coverage_low=0.8,
            coverage_high=1.0,
        ),
        plan=DecodingPlan(
            draft_vocab_size=len(KEPT),
            draft_length=2,
            target_precision="int4",
            drafter_precision="int4",
            threads=1,
            predicted_tokens_per_second=30.0,
            predicted_plain_tokens_per_second=20.0,
            predicted_block_efficiency=2.5,
            predicted_acceptance_rate=0.7,
            target_pass_seconds=(0.05, 0.06),
            drafter_pass_seconds=(0.01,),
            speculate=True,
            reason="faster",
            device="laptop",
            speed_up_low=1.2,
            speed_up_high=1.8,
            chance_to_pay=0.9,
        ),
        files={name: FileEntry(bytes=(path / name).stat().st_size, sha256=sha256(path / name)) for name in FILES},
    )
    return to_plain(manifest)


def graph_bytes(text):
    """An ONNX file with nothing but ``text`` as its description: field 6, length-delimited."""
    return bytes([6 << 3 | 2, len(text)]) + text.encode()


@pytest.fixture
def folder(tokenizer_folder):
    """A small bundle: graphs without nodes, a real tokenizer and map, a correct manifest."""
    path = tokenizer_folder("bundle", files={"README.md": "# card"})
    for name in ("target", "drafter"):
        (path / name).mkdir()
        (path / name / "model.onnx").write_bytes(graph_bytes(f"the graph of {name}"))
        (path / name / "model.onnx.data").write_bytes(f"the weights of {name}".encode())
    write_map(path, KEPT)
    write_manifest(path, plain_manifest(path))
    return path


def write_map(path, ids):
    index_map = IndexMap(target_ids=np.array(ids, dtype=np.int64), target_vocab_size=VOCAB_SIZE)
    write_index_map(path / "map.safetensors", index_map)


def write_manifest(path, data):
    (path / MANIFEST_NAME).write_text(json.dumps(data), encoding="utf-8")


def change_manifest(path, **changes):
    write_manifest(path, plain_manifest(path) | changes)


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_whole_bundle_opens(folder):
    bundle = read_bundle(folder)
    assert bundle.path == folder
    assert to_plain(bundle.manifest) == plain_manifest(folder)
    assert tuple(bundle.index_map.target_ids) == KEPT
    assert bundle.index_map.target_vocab_size == VOCAB_SIZE
    assert bundle.target_graph == folder / "target" / "model.onnx"
    assert bundle.drafter_graph == folder / "drafter" / "model.onnx"


def test_files_that_are_not_listed_do_not_matter(folder):
    (folder / "notes.txt").write_text("mine")
    assert read_bundle(folder).path == folder


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_found_in_every_file(folder, name, raises_exactly):
    wanted = sha256(folder / name)
    flip_a_byte(folder / name)
    found = sha256(folder / name)
    with raises_exactly(f"{folder}/{name}: SHA-256: expected {wanted}, got {found} - {AGAIN}"):
        read_bundle(folder)


def test_without_hashes_a_flipped_byte_passes(folder):
    flip_a_byte(folder / "target" / "model.onnx")
    assert read_bundle(folder, verify_hashes=False).path == folder


@pytest.mark.parametrize("verify_hashes", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name, verify_hashes, raises_exactly):
    (folder / name).unlink()
    with raises_exactly(f"{folder}/{name}: missing from the bundle - {AGAIN}"):
        read_bundle(folder, verify_hashes=verify_hashes)


@pytest.mark.parametrize("verify_hashes", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_size_is_named(folder, name, verify_hashes, raises_exactly):
    size = (folder / name).stat().st_size
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    with raises_exactly(f"{folder}/{name}: expected {size} bytes, got {size + 1} - {AGAIN}"):
        read_bundle(folder, verify_hashes=verify_hashes)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "target/../../outside"])
def test_a_listed_path_that_leads_out_is_refused(folder, name, raises_exactly):
    (folder.parent / "outside").write_text("outside")
    files = plain_manifest(folder)["files"] | {name: {"bytes": 7, "sha256": "0"}}
    change_manifest(folder, files=files)
    with raises_exactly(f"{folder}/{MANIFEST_NAME}: files: expected a relative path inside the bundle, got {name!r}"):
        read_bundle(folder)


@pytest.mark.parametrize("linked", ["target/model.onnx", "target"])
def test_a_link_that_leads_out_is_refused(folder, linked, raises_exactly):
    outside = folder.parent / "outside"
    (folder / linked).rename(outside)
    (folder / linked).symlink_to(outside)
    graph = folder / "target" / "model.onnx"
    remedy = "replace the link by the file"
    message = f"{graph}: leads out of the bundle, got {graph.resolve()} - {remedy}"
    with raises_exactly(message):
        read_bundle(folder)


def test_a_link_within_the_bundle_is_followed(folder):
    (folder / "target" / "model.onnx").rename(folder / "stored")
    (folder / "target" / "model.onnx").symlink_to(os.path.join("..", "stored"))
    assert read_bundle(folder).path == folder


def test_a_bundle_may_itself_be_a_link(folder):
    (folder.parent / "link").symlink_to(folder)
    assert read_bundle(folder.parent / "link").path == folder.parent / "link"


@pytest.mark.parametrize("more", [{}, {"new_in_two": True}])
def test_an_unknown_schema_version_is_named(folder, more, raises_exactly):
    change_manifest(folder, schema_version=SCHEMA_VERSION + 1, **more)
    rule = f"schema_version: this edgedraft reads 4 and {SCHEMA_VERSION}, got {SCHEMA_VERSION + 1}"
    remedy = "export the bundle again or install a matching edgedraft"
    with raises_exactly(f"{folder}/{MANIFEST_NAME}: {rule} - {remedy}"):
        read_bundle(folder)


def test_a_map_without_the_end_ids_is_refused(folder, raises_exactly):
    change_manifest(folder, end_token_ids=[END, 7])
    rule = f"the index map must hold the end-of-turn ids [{END}, 7]"
    with raises_exactly(f"{folder}/{MANIFEST_NAME}: {rule} - {AGAIN}"):
        read_bundle(folder)


def test_a_map_of_another_size_is_refused(folder, raises_exactly):
    write_map(folder, (*KEPT[:-1], 200, END))
    change_manifest(folder)
    rule = "draft_vocab_size: the index map must hold 3 ids, got 4"
    with raises_exactly(f"{folder}/{MANIFEST_NAME}: {rule} - {AGAIN}"):
        read_bundle(folder)


def test_a_map_beyond_the_vocabulary_is_refused(folder, raises_exactly):
    change_manifest(folder, target_vocab_size=256, end_token_ids=[255])
    rule = "index map: ids must lie in 0..255, got 1..256"
    with raises_exactly(f"{folder}/map.safetensors: {rule} - export the bundle again"):
        read_bundle(folder)


def test_another_tokenizer_is_refused(folder, byte_tokenizer, raises_exactly):
    manifest = plain_manifest(folder)
    wanted = manifest["tokenizer_fingerprint"]
    other = folder / "other.json"
    byte_tokenizer(merges=["ab"]).save(str(other))
    found = tokenizer_fingerprint(other)
    (folder / "tokenizer.json").write_bytes(other.read_bytes())
    entry = {"bytes": other.stat().st_size, "sha256": sha256(other)}
    write_manifest(folder, manifest | {"files": manifest["files"] | {"tokenizer.json": entry}})
    rule = f"tokenizer fingerprint must be {wanted[:12]}, got {found[:12]}"
    with raises_exactly(f"{folder}/tokenizer.json: {rule} - {AGAIN}"):
        read_bundle(folder)


def test_a_bundle_exported_again_to_the_same_folder_opens(folder, byte_tokenizer):
    read_bundle(folder)
    byte_tokenizer(merges=["ab"]).save(str(folder / "tokenizer.json"))
    fresh = folder / "fresh.json"
    fresh.write_bytes((folder / "tokenizer.json").read_bytes())
    change_manifest(folder, tokenizer_fingerprint=tokenizer_fingerprint(fresh))
    assert read_bundle(folder).manifest.tokenizer_fingerprint == tokenizer_fingerprint(fresh)


@pytest.mark.parametrize("name", FILES[:-1])
def test_what_the_runtime_opens_must_be_listed(folder, name, raises_exactly):
    files = plain_manifest(folder)["files"]
    del files[name]
    change_manifest(folder, files=files)
    with raises_exactly(f"{folder}/{MANIFEST_NAME}: files: {name} is not listed - {AGAIN}"):
        read_bundle(folder)


def test_a_missing_folder_is_named(tmp_path, raises_exactly):
    message = f"{tmp_path}/none: no such bundle folder - name a folder written by edgedraft export"
    with raises_exactly(message):
        read_bundle(tmp_path / "none")


def test_a_missing_manifest_is_named(folder, raises_exactly):
    (folder / MANIFEST_NAME).unlink()
    with raises_exactly(f"{folder}/{MANIFEST_NAME}: no such file"):
        read_bundle(folder)


def test_a_manifest_that_is_not_json_is_named(folder):
    (folder / MANIFEST_NAME).write_text("schema_version = 1")
    with pytest.raises(EdgedraftError, match=f"^{re.escape(str(folder / MANIFEST_NAME))}: not valid JSON, got "):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ([], "manifest: expected an object, got list"),
        ({}, "manifest: missing key schema_version"),
        ({"schema_version": SCHEMA_VERSION, "colour": "red"}, "manifest: unknown key, got colour"),
        ({"schema_version": "1"}, "manifest: schema_version: expected int, got '1'"),
    ],
)
def test_a_manifest_of_another_shape_is_named(folder, data, rule, raises_exactly):
    write_manifest(folder, data)
    with raises_exactly(f"{folder}/{MANIFEST_NAME}: {rule}"):
        read_bundle(folder)
