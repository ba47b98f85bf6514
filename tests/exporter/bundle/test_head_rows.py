"""A bundle whose plan has rows from the conversation keeps the drafter's full head, and no other bundle does."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.bundle.retrim import retrim_bundle
from edgedraft.exporter.bundle.token_order import SizeForecasts, TokenOrder
from edgedraft.exporter.bundle.writing import BundleContents, is_current, write_bundle
from edgedraft.runtime.bundle.head_rows_file import open_head_rows
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.onnx.head_rows import HeadRowProduct

HEAD = "drafter/head_rows.safetensors"
VOCAB = 192


@pytest.fixture
def contents(one_node_pairs, make_plan, make_calibration, tmp_path) -> BundleContents:
    """Of a bundle with the 128 first of 192 tokens, and 16 rows."""
    pair = one_node_pairs.pair(tmp_path / "cache")
    others = [token for token in np.random.default_rng(0).permutation(VOCAB).tolist() if token not in (7, 190)]
    shares, speeds = np.full((3, 3), 0.5), np.full((3, 5), 0.75)
    forecasts = SizeForecasts(sizes=np.array([64, 128, 192]), coverage=shares, speeds=speeds)
    order = TokenOrder(token_ids=np.array([7, 190, *others]), forecasts=forecasts)
    plan = make_plan(draft_vocab_size=128, conversation_rows=16)
    facts = {"plan": plan, "calibration": make_calibration(), "divergence": None}
    return BundleContents(pair=pair, index_map=order.kept(128), order=order, **facts)


def resized(contents: BundleContents, size: int) -> BundleContents:
    plan = dataclasses.replace(contents.plan, draft_vocab_size=size)
    return dataclasses.replace(contents, index_map=contents.order.kept(size), plan=plan)


def outputs(path: Path) -> list[str]:
    return [str(value.name) for value in ir.load(path).graph.outputs]


def test_the_head_is_stored_and_listed_and_its_rows_score_as_the_full_drafter_does(contents, graphs, tmp_path):
    write_bundle(contents, tmp_path / "bundle")
    bundle = read_bundle(tmp_path / "bundle")
    entry = bundle.manifest.head_rows
    assert entry is not None and entry.file == HEAD in bundle.manifest.files
    states = graphs.states(entry.width, 3)
    [full] = graphs.run(contents.pair.drafter.graph, states)
    product = HeadRowProduct(open_head_rows(bundle.path / HEAD, entry), 24)
    for ids in ([3, 8, 191], [0, 5, 8, 191], [8], list(range(24)), [190, 20]):
        product.choose(np.sort(np.array(ids)))
        for row, state in enumerate(full):
            done = Pass(logits=full, features=next(iter(states.values()))[0])
            np.testing.assert_allclose(product.logits(done, row), state[np.sort(ids)], atol=1e-4)


def test_only_the_reduced_graph_gives_the_state(contents, tmp_path):
    write_bundle(contents, tmp_path / "bundle")
    assert "features" in outputs(tmp_path / "bundle" / "drafter" / "model.onnx")
    assert "features" not in outputs(tmp_path / "bundle" / "drafter" / "expanded.onnx")
    assert "features" not in outputs(tmp_path / "bundle" / "target" / "model.onnx")


def test_a_plan_without_rows_has_neither_file_nor_output(contents, tmp_path):
    plan = dataclasses.replace(contents.plan, conversation_rows=0)
    write_bundle(dataclasses.replace(contents, plan=plan), tmp_path / "bundle")
    assert read_bundle(tmp_path / "bundle").manifest.head_rows is None
    assert not (tmp_path / "bundle" / HEAD).exists()
    assert "features" not in outputs(tmp_path / "bundle" / "drafter" / "model.onnx")
    assert not is_current(contents, tmp_path / "bundle")


@pytest.mark.parametrize("size", [64, 192])
@pytest.mark.parametrize("in_place", [True, False])
def test_trimming_keeps_the_head(contents, tmp_path, size, in_place):
    """Smaller from the bundle itself, larger from the full drafter: the bytes that exporting that size would give."""
    bundle, fresh = tmp_path / "bundle", tmp_path / "fresh"
    write_bundle(contents, bundle)
    output = bundle if in_place else tmp_path / "other"
    manifest = retrim_bundle(bundle, size, output, tmp_path / "cache")
    write_bundle(resized(contents, size), fresh)
    wanted = read_bundle(fresh).manifest
    assert (manifest.head_rows, manifest.plan.conversation_rows) == (wanted.head_rows, 16)
    written = [name for name in wanted.files if name.startswith("drafter/")]
    assert {name: manifest.files.get(name) for name in written} == {name: wanted.files[name] for name in written}
    assert read_bundle(output).manifest == manifest
