"""Finding a model: each kind of reference is told apart by what lies there, and errors name what was looked at."""

import hashlib
import json
import os
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants

from edgedraft.exporter.graph.loading import save_graph
from edgedraft.exporter.models import sources
from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.packaged_models import packaged_models
from edgedraft.exporter.models.sources import GGUF, HUGGING_FACE, ONNX, onnx_file, resolve
from edgedraft.runtime.base.errors import EdgedraftError
from tests.exporter.hub import TOKEN, Stored, running_hub


def fill(folder: Path, **files: str) -> Path:
    """A folder with files; underscores before the ending stand for dots."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def hugging_face(folder: Path, **more: str) -> Path:
    return fill(folder, config__json=json.dumps({"_name_or_path": "org/Base"}), model__safetensors="weights", **more)


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_gguf_file_is_told_by_its_first_bytes(tmp_path):
    path = tmp_path / "Tiny-Q4.GGUF"
    path.write_bytes(b"GGUF and more")
    found = resolve(str(path), tmp_path / "cache")
    assert (found.kind, found.path, found.name) == (GGUF, path, "tiny-q4")
    assert (found.base_model, found.license) == ("unknown", "unknown")
    assert found.identity == hashlib.sha256(b"GGUF and more").hexdigest()


@pytest.mark.parametrize(("content", "got"), [(b"PK\x03\x04zip", r"b'PK\x03\x04'"), (b"", "b''")])
def test_any_other_file_is_refused(tmp_path, content, got):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(EdgedraftError) as error:
        resolve(str(path), tmp_path / "cache")
    assert str(error.value) == f"{path}: not a GGUF file, got {got} - give a .gguf file or a model folder"


# --- folders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["model__safetensors", "model-00001-of-00002__safetensors", "pytorch_model__bin"])
def test_a_hugging_face_folder_has_a_config_and_weights(tmp_path, weights):
    folder = fill(tmp_path / "My-Model", config__json='{"_name_or_path": "org/Base"}', **{weights: "weights"})
    found = resolve(str(folder), tmp_path / "cache")
    assert (found.kind, found.path, found.name) == (HUGGING_FACE, folder, "my-model")
    assert (found.base_model, found.license) == ("org/Base", "unknown")


def test_an_onnx_folder_has_a_model_onnx(tmp_path):
    folder = fill(tmp_path / "exported", model__onnx="graph", genai_config__json="{}")
    found = resolve(str(folder), tmp_path / "cache")
    assert (found.kind, found.name, found.base_model) == (ONNX, "exported", "unknown")


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    folder = hugging_face(tmp_path / "model")
    assert resolve("~/model", tmp_path / "cache").path == folder


@pytest.mark.parametrize(
    "files", [{}, {"config__json": "{}"}, {"model__safetensors": "weights"}, {"model__onnx__data": "weights"}]
)
def test_an_incomplete_folder_is_refused(tmp_path, files):
    folder = fill(tmp_path / "part", **files)
    with pytest.raises(EdgedraftError) as error:
        resolve(str(folder), tmp_path / "cache")
    rule = "neither an ONNX graph nor config.json with weights"
    assert str(error.value) == f"{folder}: {rule} - give a whole model folder"


def test_a_broken_config_is_named(tmp_path):
    folder = fill(tmp_path / "model", config__json="{", model__safetensors="weights")
    with pytest.raises(EdgedraftError, match=r"config\.json: not valid JSON"):
        resolve(str(folder), tmp_path / "cache")


def test_a_folders_identity_changes_with_any_of_its_files(tmp_path):
    folder = hugging_face(tmp_path / "model")

    def identity() -> str:
        return resolve(str(folder), tmp_path / "cache").identity

    first = identity()
    assert identity() == first
    os.utime(folder / "model.safetensors", (1, 1))
    touched = identity()
    (folder / "model.safetensors").write_text("other weights")
    os.utime(folder / "model.safetensors", (1, 1))
    resized = identity()
    fill(folder, tokenizer__json="{}")
    assert len({first, touched, resized, identity()}) == 4


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_packaged_name_is_fetched_into_the_cache(tmp_path, monkeypatch):
    model = packaged_models()[0]
    asked = []

    def fetch(wanted, folder, progress):
        asked.append((wanted, folder, progress))
        return folder / wanted.file

    def progress(what, done, total):
        raise AssertionError

    monkeypatch.setattr(sources, "fetch", fetch)
    found = resolve(model.name, tmp_path, progress)
    assert asked == [(model, tmp_path / "models", progress)]
    assert (found.kind, found.path, found.name) == (GGUF, tmp_path / "models" / model.file, model.name)
    assert (found.base_model, found.license, found.identity) == (model.base_model, model.license, model.sha256)


@pytest.mark.parametrize("reference", ["llama", "./no/such", "/no/such/folder", "a/b/c", "../no"])
def test_an_unknown_reference_lists_the_packaged_names(tmp_path, monkeypatch, reference):
    monkeypatch.chdir(fill(tmp_path / "elsewhere"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    with pytest.raises(EdgedraftError) as error:
        resolve(reference, tmp_path)
    assert str(error.value) == (
        "model: expected a packaged name, a GGUF or ONNX file, a Hugging Face or ONNX folder, or a hub id, "
        f"got {reference} - packaged: qwen2.5-coder-0.5b-instruct, qwen2.5-coder-1.5b-instruct"
    )


# --- the hub ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Replaces the hub's download by a function of the test; no network is asked."""
    monkeypatch.chdir(fill(tmp_path / "elsewhere"))

    def install(download):
        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        return tmp_path / "cache"

    return install


def test_a_hub_id_is_downloaded_into_the_cache(hub, tmp_path):
    folder = hugging_face(tmp_path / "snapshots" / "abc123", README__md="---\nlicense: mit\n---\n# A model\n")
    asked = []
    cache = hub(lambda reference, **options: asked.append((reference, options)) or str(folder))
    found = resolve("Org/Tiny-Model", cache)
    ((reference, options),) = asked
    assert reference == "Org/Tiny-Model"
    assert options["cache_dir"] == cache / "hub"
    assert (found.kind, found.path, found.name) == (HUGGING_FACE, folder, "tiny-model")
    assert (found.base_model, found.license) == ("Org/Tiny-Model", "mit")


@pytest.mark.parametrize("card", [None, "# No front matter\n", "---\ntags: [a]\n---\n"])
def test_a_hub_model_without_a_licence_has_an_unknown_one(hub, tmp_path, card):
    folder = hugging_face(tmp_path / "snapshots" / "abc123", **({} if card is None else {"README__md": card}))
    assert resolve("org/model", hub(lambda reference, **options: str(folder))).license == "unknown"


def snapshot(root: Path, revision: str, **blobs: str) -> Path:
    """A revision as the hub's client keeps it: links to files that are named by what they hold."""
    folder = root / "models--Org--Tiny" / "snapshots" / revision
    (root / "models--Org--Tiny" / "blobs").mkdir(parents=True, exist_ok=True)
    for name, content in blobs.items():
        blob = root / "models--Org--Tiny" / "blobs" / hashlib.sha256(content.encode()).hexdigest()
        blob.write_text(content)
        file = folder / name.replace("__", ".").replace("onnx_in", "onnx/model.onnx")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(blob)
    return folder


def test_a_hub_models_identity_is_what_its_files_hold(hub, tmp_path):
    def identity(place: str, revision: str, **files: str) -> str:
        folder = snapshot(tmp_path / place, revision, config__json="{}", **files)
        return resolve("org/model", hub(lambda *names, **options: str(folder))).identity

    first = identity("a", "abc", model__safetensors="weights")
    assert identity("b", "abc", model__safetensors="weights") == first  # downloaded again, at another time
    assert identity("a", "def", model__safetensors="weights") == first  # a commit that changed nothing of it
    others = {identity("a", "ghi", model__safetensors="other"), identity("a", "jkl", pytorch_model__bin="weights")}
    assert len({first, *others}) == 3


def test_a_folder_of_the_hubs_cache_is_the_repository_it_is_of(tmp_path):
    card = "---\nlicense: mit\n---\n# A model\n"
    folder = snapshot(tmp_path, "abc", onnx_in="graph", README__md=card)
    found = resolve(str(folder), tmp_path / "cache")
    assert (found.kind, found.name, found.base_model, found.license) == (ONNX, "tiny", "Org/Tiny", "mit")
    assert onnx_file(found) == folder / "onnx" / "model.onnx"


@pytest.mark.parametrize(
    ("front", "told"),
    [
        ("license: other\nlicense_name: qwen-research", "qwen-research"),
        ("license: other", "other"),
        ("license: [mit, apache-2.0]", "mit and apache-2.0"),
    ],
)
def test_a_licence_is_told_by_its_own_name(tmp_path, front, told):
    folder = snapshot(tmp_path, "abc", onnx_in="graph", README__md=f"---\n{front}\n---\n")
    assert resolve(str(folder), tmp_path / "cache").license == told


@pytest.mark.parametrize("name", ["/home/me/model", "../model", "model", "me\\model"])
def test_a_folder_on_somebodys_disk_is_no_base_model(tmp_path, name):
    folder = fill(tmp_path / "m", config__json=json.dumps({"_name_or_path": name}), model__safetensors="weights")
    assert resolve(str(folder), tmp_path / "cache").base_model == "unknown"


def test_a_hub_onnx_folder_stays_onnx(hub, tmp_path):
    folder = fill(tmp_path / "snapshots" / "abc", model__onnx="graph")
    assert resolve("org/model", hub(lambda reference, **options: str(folder))).kind == ONNX


def test_a_hub_models_weights_in_the_old_format_are_downloaded_too(hub, tmp_path):
    """The folder check accepts pytorch_model.bin, so the download may not leave it out."""
    asked = {}
    folder = hugging_face(tmp_path / "snapshots" / "abc")
    resolve("org/model", hub(lambda reference, **options: asked.update(options) or str(folder)))
    assert "*.bin" not in asked["ignore_patterns"]


def test_a_hub_model_is_downloaded_and_exported_through_links(tmp_path, graphs, monkeypatch):
    """The hub's own client, against a hub of this machine: the graph's data lies behind links, and is copied."""
    made = tmp_path / "made"
    made.mkdir()
    save_graph(graphs.packed(32, 64), made / "model.onnx", "model.onnx_data")
    settings = {"model": {"eos_token_id": 1, "context_length": 8, "decoder": {}}}
    texts = {"genai_config.json": json.dumps(settings), "README.md": "---\nlicense: mit\n---\n", "model_q4.onnx": "no"}
    with running_hub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        files = {file.name: file.read_bytes() for file in made.iterdir()}
        stored = {**files, **{name: text.encode() for name, text in texts.items()}}
        server.repositories["Org/Tiny-ONNX"] = Stored(files=stored)
        source = resolve("Org/Tiny-ONNX", tmp_path / "cache")
    assert (source.kind, source.name, source.license) == (ONNX, "tiny-onnx", "mit")
    assert (source.path / "model.onnx_data").is_symlink()
    assert not (source.path / "model_q4.onnx").exists()
    feed = graphs.states(32, 2)
    copied = convert(source, "int4", tmp_path / "cache")
    assert np.array_equal(graphs.run(copied.graph, feed), graphs.run(made / "model.onnx", feed))
    assert resolve(str(source.path), tmp_path).identity == source.identity


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ConnectionError("no route to host\nsecond line"), "no route to host"),
        (ValueError("\n  404 Client Error\nmore"), "404 Client Error"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_failed_download_tells_why(hub, failure, reason):
    def download(reference, **options):
        raise failure

    with pytest.raises(EdgedraftError) as error:
        resolve("org/model", hub(download))
    remedy = "check the name and the network, or give a folder"
    assert str(error.value) == f"org/model: the hub did not give it, got {reason} - {remedy}"
    assert error.value.__cause__ is failure


def test_a_card_that_cannot_be_read_does_not_stop_the_export(hub, tmp_path):
    folder = hugging_face(tmp_path / "snapshots" / "abc", README__md="---\nlicense: [mit\n---\n")
    assert resolve("org/model", hub(lambda reference, **options: str(folder))).license == "unknown"


def test_a_folder_that_looks_like_a_hub_id_is_a_folder(hub, tmp_path):
    cache = hub(None)
    hugging_face(Path("org/model"))
    assert resolve("org/model", cache).path == Path("org/model")
