"""Converting an ONNX folder: it is copied whole, once, with its cache shapes fixed; what is missing is named."""

import dataclasses
import json
import os

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.precisions import PRECISIONS, TABLE
from edgedraft.exporter.models import convert as converting
from edgedraft.exporter.models.convert import AS_EXPORTED, context_length, convert, end_token_ids
from edgedraft.exporter.models.sources import GGUF, require_unchanged
from edgedraft.runtime.base.errors import EdgedraftError


@pytest.fixture
def source(one_node_pairs, tmp_path):
    return one_node_pairs.folder(tmp_path / "exported").source


def test_an_onnx_folder_is_copied_once_and_computes_the_same(source, tmp_path, graphs, monkeypatch):
    made = convert(source, "int4", tmp_path / "cache")
    assert made.path.parent == tmp_path / "cache" / "onnx"
    assert (made.graph, made.key, made.costs) == (made.path / "model.onnx", made.path.name, ())
    copied = ["genai_config.json", "model.onnx", "model.onnx.data", "sums.json", "tokenizer.json"]
    copied.append("tokenizer_config.json")
    assert sorted(file.name for file in made.path.iterdir()) == copied
    feed = graphs.states(32, 2)
    assert np.array_equal(graphs.run(made.graph, feed), graphs.run(source.path / "model.onnx", feed))
    monkeypatch.setattr(converting, "_make", None)
    assert convert(source, "int4", tmp_path / "cache") == made


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json", "genai_config.json", "sums.json"])
@pytest.mark.parametrize("damage", [lambda old: bytes(len(old)), lambda old: old[:-2], lambda old: b"", None])
def test_a_damaged_conversion_is_made_again(source, tmp_path, name, damage):
    path = convert(source, "int4", tmp_path / "cache").path
    whole = {file.name: file.read_bytes() for file in path.iterdir()}
    if damage is None:
        (path / name).unlink()
    else:
        facts = (path / name).stat()
        (path / name).write_bytes(damage(whole[name]))
        os.utime(path / name, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert convert(source, "int4", tmp_path / "cache").path == path
    assert {file.name: file.read_bytes() for file in path.iterdir()} == whole


def test_a_file_that_was_damaged_since_it_was_named_is_not_converted(source, tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF damaged")
    source = dataclasses.replace(source, kind=GGUF, path=file, identity="0" * 64)
    with pytest.raises(EdgedraftError, match=r"model\.gguf: SHA-256: expected 0{64}, got \w{64} - it is damaged"):
        require_unchanged(source)


def test_the_copy_has_fixed_cache_shapes_and_the_original_keeps_its_own(source, tmp_path, graphs):
    save_graph(graphs.attention_layer(), source.path / "model.onnx", "model.onnx.data")
    before = (source.path / "model.onnx").read_bytes()
    made = convert(source, "int4", tmp_path / "cache")
    past, present = load_graph(made.graph).graph.inputs[1], load_graph(made.graph).graph.outputs[1]
    assert (past.shape[3], present.shape[3]) == (16, 16)
    assert (source.path / "model.onnx").read_bytes() == before


def test_a_copy_gives_every_layer_its_whole_past_and_stock_engines_are_told(source, tmp_path, graphs):
    model = graphs.attention_layer()
    model.graph[0].attributes.add(ir.AttrInt64("sliding_window_cache", 1))
    save_graph(model, source.path / "model.onnx", "model.onnx.data")
    path = source.path / "genai_config.json"
    settings = json.loads(path.read_text())
    windowed = {"window_size": 32, "slide_key_value_cache": False, "slide_inputs": False, "layers": [0]}
    path.write_text(json.dumps({"model": {**settings["model"], "decoder": {"sliding_window": windowed}}}))
    made = convert(source, "int4", tmp_path / "cache")
    assert "sliding_window_cache" not in load_graph(made.graph).graph[0].attributes
    assert json.loads((made.path / "genai_config.json").read_text())["model"]["decoder"] == {}


def test_other_weights_or_another_precision_are_another_conversion(source, tmp_path, monkeypatch):
    def make(wanted, folder, progress):
        (folder / "model.onnx").write_text(f"{wanted.source.identity} {wanted.precision.name}")
        return ()

    monkeypatch.setattr(converting, "_make", make)
    packed = dataclasses.replace(source, kind=GGUF)
    changed = dataclasses.replace(packed, identity="other")
    made = [convert(each, precision, tmp_path) for each in (packed, changed) for precision in PRECISIONS]
    assert len({each.key for each in made}) == 2 * len(PRECISIONS)
    texts = [each.graph.read_text() for each in made]
    assert texts == [f"{identity} {precision}" for identity in ("exported", "other") for precision in PRECISIONS]


def test_a_precision_made_otherwise_is_another_conversion(source, tmp_path, monkeypatch):
    monkeypatch.setattr(converting, "_make", lambda wanted, folder, progress: ())
    packed = dataclasses.replace(source, kind=GGUF)
    before = convert(packed, "int4", tmp_path).key
    reworded = dataclasses.replace(TABLE["int4"], purpose="something else")
    coarser = dataclasses.replace(TABLE["int4"], embedding_bits=32)
    keys = []
    for changed in (reworded, coarser):
        monkeypatch.setitem(TABLE, "int4", changed)
        keys.append(convert(packed, "int4", tmp_path).key)
    assert keys[0] == before != keys[1]


def test_an_onnx_folder_keeps_its_own_precision(source, tmp_path):
    int4, fp32 = convert(source, "int4", tmp_path), convert(source, "fp32", tmp_path)
    assert int4 == fp32
    assert int4.precision == AS_EXPORTED


def test_an_unknown_precision_is_refused(source, tmp_path):
    with pytest.raises(EdgedraftError) as error:
        convert(source, "int2", tmp_path)
    expected = ", ".join(PRECISIONS)
    assert str(error.value) == f"precision: expected one of {expected}, got int2"


def test_a_folder_without_any_settings_is_refused_and_nothing_stays(source, tmp_path):
    (source.path / "genai_config.json").unlink()
    with pytest.raises(EdgedraftError) as error:
        convert(source, "int4", tmp_path / "cache")
    remedy = "give the whole model folder"
    assert str(error.value) == f"{source.path}: neither genai_config.json nor config.json - {remedy}"
    assert list((tmp_path / "cache" / "onnx").iterdir()) == []


def test_a_folder_without_its_data_file_is_refused(source, tmp_path):
    (source.path / "model.onnx.data").unlink()
    with pytest.raises(EdgedraftError, match=r"model\.onnx"):
        convert(source, "int4", tmp_path / "cache")


@pytest.mark.parametrize(("value", "ids"), [([9, 3], (3, 9)), (5, (5,))])
def test_end_tokens_and_context_come_from_genai_config(tmp_path, value, ids):
    settings = {"model": {"eos_token_id": value, "context_length": 2048}}
    (tmp_path / "genai_config.json").write_text(json.dumps(settings))
    assert end_token_ids(tmp_path) == ids
    assert context_length(tmp_path) == 2048
