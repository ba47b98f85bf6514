"""A model with missing files is refused before it is converted, and the error names them."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.sources import resolve
from edgedraft.exporter.models.whole_files import require_whole
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.tensors import write_tensors

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 99\n"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def folder(tmp_path):
    """A Hugging Face folder with two files of weights."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    for name, tensor in ((FIRST, "a"), (SECOND, "b")):
        write_tensors(path / name, {tensor: np.ones(4, np.float32)}, {})
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": FIRST, "b": SECOND}}))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(EdgedraftError) as error:
        require_whole(resolve(str(path), path / "cache"))
    return str(error.value)


def test_a_whole_folder_passes(folder):
    require_whole(resolve(str(folder), folder / "cache"))


def test_a_file_that_the_index_names_is_missing(folder):
    (folder / SECOND).unlink()
    assert f"got no {SECOND} - finish the download" in refusal(folder)


def test_an_index_may_name_files_of_any_name(folder):
    (folder / FIRST).rename(folder / "one.safetensors")
    (folder / SECOND).unlink()
    places = {"a": "one.safetensors", "b": "two.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    assert "model.safetensors.index.json: names files that are not there, got two.safetensors" in refusal(folder)


def test_an_index_that_is_not_there_yet(folder):
    (folder / "model.safetensors.index.json").unlink()
    assert "expected model.safetensors or model.safetensors.index.json" in refusal(folder)


def test_a_tensor_that_the_index_names_is_not_in_its_file(folder):
    write_tensors(folder / SECOND, {"c": np.ones(4, np.float32)}, {})
    assert "index.json: names 1 tensors that its files do not hold, got b" in refusal(folder)


def test_a_file_that_ends_too_early(folder):
    data = (folder / SECOND).read_bytes()
    (folder / SECOND).write_bytes(data[:-1])
    assert f"{SECOND}: expected {len(data)} bytes, got {len(data) - 1} - download it again" in refusal(folder)
    (folder / SECOND).write_bytes(data[:5])
    assert f"{SECOND}: not a whole safetensors file" in refusal(folder)


@pytest.mark.parametrize("name", [SECOND, "tokenizer.json", "model.safetensors.index.json"])
def test_what_git_lfs_leaves_is_no_file(folder, name):
    (folder / name).write_text(POINTER)
    assert refusal(folder) == (
        f"{folder}: git-lfs left pointers in place of files, got {name} - run git lfs pull there"
    )


def test_a_pointer_in_place_of_a_graph_or_a_gguf_file(folder, tmp_path):
    (folder / "model.onnx").write_text(POINTER)
    assert "git-lfs left pointers in place of files, got model.onnx" in refusal(folder)
    packed = tmp_path / "model.gguf"
    packed.write_text(POINTER)
    assert "git-lfs left a pointer in place of the file" in refusal(packed)


@pytest.mark.parametrize("place", ["x.safetensors.incomplete", ".cache/huggingface/download/x.abc.incomplete"])
def test_a_download_that_did_not_finish(folder, place):
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(b"")
    assert refusal(folder).startswith(f"{folder}: a download did not finish, got {Path(place).name} - finish it")


@pytest.mark.parametrize("with_weights", [False, True])
def test_an_adapter_is_no_model(folder, with_weights):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/Base"}))
    if not with_weights:
        for file in (*folder.glob("model*"), folder / "config.json"):
            file.unlink()
    assert refusal(folder).startswith(f"{folder}: expected a whole model, got an adapter of org/Base - merge it")


def test_a_refused_model_leaves_nothing_in_the_cache(folder, tmp_path):
    (folder / SECOND).unlink()
    with pytest.raises(EdgedraftError, match="expected 2 files of weights"):
        convert(resolve(str(folder), tmp_path), "fp32", tmp_path / "cache")
    assert [*(tmp_path / "cache" / "onnx").iterdir()] == []


def test_a_header_that_promises_more_than_there_is(folder):
    (folder / SECOND).write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    assert f"{SECOND}: expected" in refusal(folder)
