"""The law of the expanded layout: its logits are `IndexMap.scatter` of the reduced ones, bit for bit."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.exporter.graph.head import expand_logits, trim_head
from edgedraft.exporter.graph.loading import load_graph, output_named, save_graph, vocabulary_width
from edgedraft.runtime.core.index_map import IndexMap
from tests.scattering import scattered

HIDDEN, WIDTH = 32, 200


def random_map(size: int, width: int, seed: int) -> IndexMap:
    ids = np.random.default_rng(seed).choice(width, size, replace=False)
    return IndexMap(target_ids=np.sort(ids).astype(np.int64), target_vocab_size=width)


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, WIDTH),
    rows=st.integers(1, 9),
    packed=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_expanded_logits_are_the_scattered_reduced_ones(graphs, seed, size, rows, packed):
    index_map = random_map(size, WIDTH, seed)

    def reduced() -> ir.Model:
        model = (graphs.packed if packed else graphs.plain)(HIDDEN, WIDTH, seed=seed)
        trim_head(model, index_map)
        return model

    expanded = reduced()
    expand_logits(expanded, index_map)
    feed = graphs.states(HIDDEN, rows, seed)
    got = graphs.run(expanded, feed)
    assert got.shape == (1, rows, WIDTH)
    assert np.array_equal(got[0], scattered(index_map, graphs.run(reduced(), feed)[0]))


def test_the_whole_vocabulary_expands_to_itself(graphs):
    expanded = graphs.plain(HIDDEN, WIDTH)
    expand_logits(expanded, IndexMap.identity(WIDTH))
    feed = graphs.states(HIDDEN, 3)
    assert np.array_equal(graphs.run(expanded, feed), graphs.run(graphs.plain(HIDDEN, WIDTH), feed))


def test_half_precision_logits_stay_half(graphs):
    states = graphs.value("hidden", [1, "rows", HIDDEN])
    cast = graphs.node("Cast", [states], to=ir.DataType.FLOAT16.value)
    logits = graphs.logits_of(cast, HIDDEN)
    logits.dtype = ir.DataType.FLOAT16
    expanded = graphs.model([states], [cast], [logits])
    index_map = random_map(HIDDEN, WIDTH, seed=0)
    expand_logits(expanded, index_map)
    feed = graphs.states(HIDDEN, 2)
    got = graphs.run(expanded, feed)
    assert got.dtype == np.float16
    assert np.array_equal(got, scattered(index_map, feed["hidden"].astype(np.float16)))


def test_the_outputs_keep_their_order_and_the_logits_their_name(graphs):
    states = graphs.value("hidden", [1, "rows", HIDDEN])
    present = graphs.node("Identity", [states])
    kept = present.outputs[0]
    kept.name, kept.dtype, kept.shape = "present.0.key", ir.DataType.FLOAT, states.shape
    scores = graphs.node("Relu", [states])
    model = graphs.model([states], [present, scores], [graphs.logits_of(scores, HIDDEN), kept])
    expand_logits(model, random_map(HIDDEN, WIDTH, seed=1))
    assert [value.name for value in model.graph.outputs] == ["logits", "present.0.key"]
    assert vocabulary_width(model) == WIDTH
    assert output_named(model, "logits").shape == ir.Shape([1, "rows", WIDTH])


@pytest.mark.parametrize("packed", [False, True])
def test_both_layouts_share_one_data_file(graphs, tmp_path, packed):
    index_map = random_map(64, WIDTH, seed=2)
    model = (graphs.packed if packed else graphs.plain)(HIDDEN, WIDTH)
    trim_head(model, index_map)
    save_graph(model, tmp_path / "model.onnx", "model.onnx.data")
    data = (tmp_path / "model.onnx.data").read_bytes()
    expanded = load_graph(tmp_path / "model.onnx")
    expand_logits(expanded, index_map)
    ir.save(expanded, tmp_path / "expanded.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expanded.onnx", "model.onnx", "model.onnx.data"]
    assert (tmp_path / "model.onnx.data").read_bytes() == data
    feed = graphs.states(HIDDEN, 5)
    reduced = graphs.run(tmp_path / "model.onnx", feed)
    assert np.array_equal(graphs.run(tmp_path / "expanded.onnx", feed)[0], scattered(index_map, reduced[0]))
