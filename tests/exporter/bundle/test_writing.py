"""The law of bundles: a bundle is written whole or not at all, and nothing but a bundle is ever overwritten."""

import dataclasses
import json
from collections import namedtuple
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.bundle import writing as bundle_writer
from edgedraft.exporter.bundle.writing import BundleContents, is_current, write_bundle
from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.needs import graph_needs
from edgedraft.exporter.graph.providers import PROVIDERS
from edgedraft.exporter.models import trimmed
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bundle.manifest import DivergenceEntry
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.index_map import IndexMap
from tests.scattering import scattered

SIZE = 64
TARGET = "target/model.onnx"


@pytest.fixture
def contents(one_node_pairs, make_plan, make_calibration, tmp_path) -> BundleContents:
    pair = one_node_pairs.pair(tmp_path / "models")
    others = np.random.default_rng(0).permutation(one_node_pairs.vocab_size)
    ids = [*pair.end_token_ids, *(token for token in others.tolist() if token not in pair.end_token_ids)]
    index_map = IndexMap(target_ids=np.sort(ids[:SIZE]).astype(np.int64), target_vocab_size=pair.vocab_size)
    facts = {"plan": make_plan(draft_vocab_size=SIZE), "calibration": make_calibration(), "divergence": None}
    return BundleContents(pair=pair, index_map=index_map, **facts)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# --- what is written -------------------------------------------------------------------------------------------------


def test_a_written_bundle_is_read_back_with_everything_it_promises(contents, tmp_path):
    seen = []
    write_bundle(contents, tmp_path / "out" / "bundle", lambda *facts: seen.append(facts))
    assert seen == [("bundle parts", done, 3) for done in range(4)]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["bundle"]
    bundle = read_bundle(tmp_path / "out" / "bundle")
    manifest = bundle.manifest
    files = names(bundle.path)
    assert files == [
        "README.md",
        "drafter/config.json",
        "drafter/expanded.onnx",
        "drafter/index_map.safetensors",
        "drafter/model.onnx",
        "drafter/model.onnx.data",
        "edgedraft.json",
        "genai_config.json",
        "generation_config.json",
        "target/model.onnx",
        "target/model.onnx.data",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert sorted(manifest.files) == [name for name in files if name != "edgedraft.json"]
    assert bundle.index_map.target_ids.tolist() == contents.index_map.target_ids.tolist()
    assert (manifest.plan, manifest.calibration) == (contents.plan, contents.calibration)
    assert (manifest.target.name, manifest.drafter.name) == ("big", "small")
    assert (manifest.target_vocab_size, manifest.end_token_ids, manifest.context_length) == (192, (7, 190), 4096)
    assert json.loads((bundle.path / "generation_config.json").read_text()) == {
        "do_sample": False,
        "eos_token_id": [7, 190],
    }
    model = json.loads((bundle.path / "genai_config.json").read_text())["model"]
    assert model["decoder"]["filename"] == "target/model.onnx"
    assert model["draft"]["filename"] == "drafter/expanded.onnx"


def test_the_target_is_copied_and_the_drafter_trimmed_and_expanded(contents, tmp_path, graphs, one_node_pairs):
    write_bundle(contents, tmp_path / "bundle")
    pair, feed = contents.pair, graphs.states(one_node_pairs.hidden, 3)
    for name in ("model.onnx", "model.onnx.data"):
        assert (tmp_path / "bundle" / "target" / name).read_bytes() == (pair.target.path / name).read_bytes()
    full = graphs.run(pair.drafter.graph, feed)
    reduced = graphs.run(tmp_path / "bundle" / "drafter" / "model.onnx", feed)
    expanded = graphs.run(tmp_path / "bundle" / "drafter" / "expanded.onnx", feed)
    assert np.array_equal(reduced, full[..., contents.index_map.target_ids])
    assert np.array_equal(expanded[0], scattered(contents.index_map, reduced[0]))


def test_the_manifest_counts_what_a_trimmed_step_reads(contents, tmp_path, one_node_pairs):
    write_bundle(contents, tmp_path / "bundle")
    manifest = read_bundle(tmp_path / "bundle").manifest
    row_bytes = one_node_pairs.hidden // 2 + 4
    assert (manifest.target.parameters, manifest.target.weight_bytes) == (192 * 32, 192 * row_bytes)
    assert (manifest.drafter.parameters, manifest.drafter.weight_bytes) == (SIZE * 32, SIZE * row_bytes)


def test_the_manifest_says_what_the_graphs_need_and_were_made_for(contents, tmp_path, one_node_pairs):
    stray = DivergenceEntry(precision="int4", kl_per_token=0.02, greedy_agreement=0.94, positions=768)
    write_bundle(dataclasses.replace(contents, divergence=stray, provider=PROVIDERS["wasm"]), tmp_path / "bundle")
    manifest = read_bundle(tmp_path / "bundle").manifest
    assert (manifest.provider, manifest.divergence) == ("wasm", stray)
    assert "| KL 0.0200 nats a token," in (tmp_path / "bundle" / "README.md").read_text()
    for model, width in ((manifest.target, 192), (manifest.drafter, SIZE)):
        assert (model.largest_tensor_bytes, model.half) == (width * one_node_pairs.hidden // 2, False)
        assert model.operators == ("MatMulNBits",)
    assert manifest.target.data == ("target/model.onnx.data",)


def test_a_half_precision_graph_is_flagged(contents, tmp_path, one_node_pairs):
    graph = contents.pair.target.graph
    model = ir.external_data.load_to_model(load_graph(graph))
    model.graph.append(ir.node("Cast", [model.graph.inputs[0]], {"to": int(ir.DataType.FLOAT16)}))
    save_graph(model, graph, "model.onnx.data")
    write_bundle(contents, tmp_path / "bundle")
    manifest = read_bundle(tmp_path / "bundle").manifest
    assert (manifest.target.half, manifest.drafter.half) == (True, False)


@pytest.mark.parametrize("name", ["webgpu", "wasm"])
def test_graphs_are_prepared_for_the_provider(contents, tmp_path, graphs, one_node_pairs, name):
    """Exact products in all three graphs, and all weights as they were."""
    write_bundle(dataclasses.replace(contents, provider=PROVIDERS[name]), tmp_path / "bundle")
    for part in ("target/model", "drafter/model", "drafter/expanded"):
        model = load_graph(tmp_path / "bundle" / f"{part}.onnx")
        levels = [node.attributes["accuracy_level"].as_int() for node in model.graph if node.op_type == "MatMulNBits"]
        assert levels == [1]
    target = contents.pair.target.path / "model.onnx.data"
    assert (tmp_path / "bundle" / "target" / "model.onnx.data").read_bytes() == target.read_bytes()
    feed = graphs.states(one_node_pairs.hidden, 3)
    rounded, exact = (graphs.run(path, feed) for path in (contents.pair.target.graph, tmp_path / "bundle" / TARGET))
    assert 0 < np.abs(rounded - exact).max() < 0.05


def test_weights_are_split_over_files_of_the_providers_limit(contents, tmp_path, graphs, one_node_pairs):
    """A file for the values of each head, one for its scales; both of the drafter's layouts share theirs."""

    class Wide(type(one_node_pairs)):
        hidden = 256

    pairs, path, whole = Wide(graphs), tmp_path / "bundle", tmp_path / "whole"
    contents = dataclasses.replace(contents, pair=pairs.pair(tmp_path / "wide"))
    write_bundle(contents, whole)
    limit = 192 * pairs.hidden // 2
    for size in (limit, 1):
        small = dataclasses.replace(contents, provider=dataclasses.replace(PROVIDERS["cpu"], data_file_bytes=size))
        assert not is_current(small, whole)
        write_bundle(small, path)
        assert is_current(small, path)
        manifest = read_bundle(path).manifest
        assert manifest.target.data == tuple(f"target/model-0000{n}-of-00002.onnx.data" for n in (1, 2))
        assert max(manifest.files[name].bytes for name in manifest.target.data) == limit
        files = sorted(name for name in names(path) if name.startswith("drafter/") and ".data" in name)
        assert files == sorted(manifest.drafter.data)
        assert len(files) == (2 if size == 1 else 1)
        expanded = graph_needs(load_graph(path / "drafter" / "expanded.onnx")).data
        assert [f"drafter/{name}" for name in expanded] == files
        feed = graphs.states(pairs.hidden, 4)
        for part in (TARGET, "drafter/model.onnx", "drafter/expanded.onnx"):
            assert np.array_equal(graphs.run(path / part, feed), graphs.run(whole / part, feed))


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_bundle_is_left_alone(contents, tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(EdgedraftError) as error:
        write_bundle(contents, folder)
    assert str(error.value) == f"{folder}: exists and is not a bundle - choose another output folder"
    assert names(folder) == ["thesis.tex"]


def test_a_file_in_the_way_is_left_alone(contents, tmp_path):
    path = tmp_path / "thesis.tex"
    path.write_text("years of work")
    with pytest.raises(EdgedraftError) as error:
        write_bundle(contents, path)
    assert str(error.value) == f"{path}: exists and is not a bundle - choose another output folder"
    assert path.read_text() == "years of work"


def test_an_empty_folder_and_an_old_bundle_are_replaced(contents, tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_bundle(contents, folder)
    write_bundle(dataclasses.replace(contents, plan=dataclasses.replace(contents.plan, draft_length=2)), folder)
    assert read_bundle(folder).manifest.plan.draft_length == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "models"]


@pytest.mark.parametrize(("width", "refused"), [(192, "target: head.values"), (128, "drafter: head.values.trimmed")])
def test_a_weight_that_cannot_be_held_is_refused_before_anything_is_written(
    contents, tmp_path, one_node_pairs, width, refused
):
    """The target's head, and with a smaller target the drafter's that keeps 150 of its rows."""
    contents.pair.target = one_node_pairs.folder(tmp_path / "models" / "other", width=width)
    kept = IndexMap(target_ids=np.arange(150), target_vocab_size=192)
    small = dataclasses.replace(PROVIDERS["webgpu"], largest_tensor_bytes=149 * 16)
    path = tmp_path / "new" / "bundle"
    with pytest.raises(EdgedraftError) as error:
        write_bundle(dataclasses.replace(contents, index_map=kept, provider=small), path)
    assert str(error.value) == (
        f"{refused}: webgpu binds at most 0 MiB as one tensor, got 0.0 MiB - "
        "choose a precision of fewer bits, a model with fewer tokens or another provider"
    )
    assert not path.parent.exists()


def test_a_full_disk_is_found_before_anything_is_written(contents, tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    asked = []
    monkeypatch.setattr(bundle_writer.shutil, "disk_usage", lambda path: asked.append(path) or usage(1))
    path = tmp_path / "new" / "folder" / "bundle"
    with pytest.raises(EdgedraftError) as error:
        write_bundle(contents, path)
    assert str(error.value) == (
        f"{path}: the bundle needs 0.0 GB of free disk space, got 0.0 GB - free some space or choose another folder"
    )
    assert asked == [tmp_path]
    assert not (tmp_path / "new").exists()


def test_room_for_both_models_is_enough(contents, tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    pair = contents.pair
    with (pair.drafter.path / "model.onnx.data").open("ab") as file:
        file.write(bytes(1000))
    sizes = [file.stat().st_size for part in (pair.target, pair.drafter) for file in part.path.glob("model.onnx*")]
    assert len(sizes) == 4
    monkeypatch.setattr(bundle_writer.shutil, "disk_usage", lambda path: usage(sum(sizes)))
    write_bundle(contents, tmp_path / "bundle")
    monkeypatch.setattr(bundle_writer.shutil, "disk_usage", lambda path: usage(sum(sizes) - 1))
    with pytest.raises(EdgedraftError, match="free disk space"):
        write_bundle(contents, tmp_path / "other")


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), EdgedraftError("no")])
def test_a_crash_leaves_the_old_bundle(contents, tmp_path, monkeypatch, failure):
    write_bundle(contents, tmp_path / "bundle")
    before = {name: (tmp_path / "bundle" / name).read_bytes() for name in names(tmp_path / "bundle")}

    def crash(*arguments):
        raise failure

    monkeypatch.setattr(trimmed, "write_index_map", crash)
    with pytest.raises(type(failure)):
        write_bundle(
            dataclasses.replace(contents, plan=dataclasses.replace(contents.plan, threads=1)), tmp_path / "bundle"
        )
    assert {name: (tmp_path / "bundle" / name).read_bytes() for name in names(tmp_path / "bundle")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "models"]


# --- is_current ------------------------------------------------------------------------------------------------------


def test_a_bundle_is_current_until_anything_that_made_it_changes(contents, tmp_path):
    path = tmp_path / "bundle"
    assert not is_current(contents, path)
    write_bundle(contents, path)
    assert is_current(contents, path)
    changes = {
        "plan": dataclasses.replace(contents.plan, draft_length=2),
        "calibration": dataclasses.replace(contents.calibration, prompts="other prompts"),
        "divergence": DivergenceEntry(precision="int4", kl_per_token=0.02, greedy_agreement=0.94, positions=768),
        "provider": PROVIDERS["webgpu"],
    }
    for field, value in changes.items():
        assert not is_current(dataclasses.replace(contents, **{field: value}), path)


def test_a_bundle_of_other_tokens_is_not_current(contents, tmp_path):
    """Same size, same plan, another choice of tokens: another calibration made it."""
    path = tmp_path / "bundle"
    write_bundle(contents, path)
    ids = contents.index_map.target_ids.tolist()
    spare = next(token for token in range(192) if token not in ids)
    dropped = next(token for token in ids if token not in contents.pair.end_token_ids)
    other = np.sort([spare if token == dropped else token for token in ids]).astype(np.int64)
    changed = dataclasses.replace(contents, index_map=IndexMap(target_ids=other, target_vocab_size=192))
    assert not is_current(changed, path)


@pytest.mark.parametrize("name", ["target/model.onnx.data", "drafter/model.onnx", "tokenizer.json"])
def test_a_damaged_bundle_is_not_current(contents, tmp_path, name):
    path = tmp_path / "bundle"
    write_bundle(contents, path)
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert not is_current(contents, path)
