"""Data files of bounded size hold the same weights, and ONNX Runtime follows them."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.needs import graph_needs
from edgedraft.exporter.graph.sharding import save_in_shards, shard_name, shards

HIDDEN, WIDTH = 64, 192
VALUES, SCALES = HIDDEN * WIDTH // 2, HIDDEN // 32 * WIDTH * 4


@given(st.lists(st.integers(0, 50)), st.integers(1, 60))
def test_runs_are_as_long_as_they_may_be_and_leave_nothing_out(sizes, limit):
    runs = shards(sizes, limit)
    assert [place for run in runs for place in run] == list(range(len(sizes)))
    for run in runs:
        assert len(run) == 1 or sum(sizes[place] for place in run) <= limit
    for before, after in pairwise(runs):
        assert sum(sizes[place] for place in before) + sizes[after[0]] > limit


def test_files_are_numbered_after_the_first():
    assert [shard_name("model.onnx.data", number) for number in range(3)] == [
        "model.onnx.data",
        "model.onnx_1.data",
        "model.onnx_2.data",
    ]


def test_split_weights_are_the_same_weights(graphs, tmp_path):
    feed = graphs.states(HIDDEN, 5)
    for folder in ("whole", "split", "again"):
        (tmp_path / folder).mkdir()
    save_in_shards(graphs.packed(HIDDEN, WIDTH), tmp_path / "whole" / "m.onnx", "m.onnx.data", None)
    whole = load_graph(tmp_path / "whole" / "m.onnx")
    save_in_shards(whole, tmp_path / "split" / "m.onnx", "m.onnx.data", VALUES)
    split = load_graph(tmp_path / "split" / "m.onnx")
    assert graph_needs(split).data == ("m.onnx.data", "m.onnx_1.data")
    sizes = {file.name: file.stat().st_size for file in (tmp_path / "split").glob("*.data")}
    assert sizes == {"m.onnx.data": VALUES, "m.onnx_1.data": SCALES}
    wanted = graphs.run(tmp_path / "whole" / "m.onnx", feed)
    assert np.array_equal(graphs.run(tmp_path / "split" / "m.onnx", feed), wanted)
    save_in_shards(split, tmp_path / "again" / "m.onnx", "m.onnx.data", None)
    assert np.array_equal(graphs.run(tmp_path / "again" / "m.onnx", feed), wanted)


def test_what_fits_is_one_file_like_any_other(graphs, tmp_path):
    save_in_shards(graphs.packed(HIDDEN, WIDTH), tmp_path / "a.onnx", "a.data", VALUES + SCALES)
    save_graph(graphs.packed(HIDDEN, WIDTH), tmp_path / "b.onnx", "b.data")
    assert (tmp_path / "a.data").read_bytes() == (tmp_path / "b.data").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.data", "a.onnx", "b.data", "b.onnx"]


def test_the_files_are_plain_ones(graphs, tmp_path):
    save_in_shards(graphs.packed(HIDDEN, WIDTH), tmp_path / "m.onnx", "m.onnx.data", 1)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data", "m.onnx_1.data"]
