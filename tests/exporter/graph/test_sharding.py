"""Data files of bounded size hold the same weights, and ONNX Runtime follows them."""

import numpy as np

from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.needs import graph_needs

HIDDEN, WIDTH = 64, 192
VALUES, SCALES = HIDDEN * WIDTH // 2, HIDDEN // 32 * WIDTH * 4
FILES = ("m-00001-of-00002.onnx.data", "m-00002-of-00002.onnx.data")


def test_split_weights_are_the_same_weights(graphs, tmp_path):
    feed = graphs.states(HIDDEN, 5)
    for folder in ("whole", "split", "again"):
        (tmp_path / folder).mkdir()
    save_graph(graphs.packed(HIDDEN, WIDTH), tmp_path / "whole" / "m.onnx", "m.onnx.data")
    whole = load_graph(tmp_path / "whole" / "m.onnx")
    save_graph(whole, tmp_path / "split" / "m.onnx", "m.onnx.data", VALUES)
    split = load_graph(tmp_path / "split" / "m.onnx")
    assert graph_needs(split).data == FILES
    sizes = {file.name: file.stat().st_size for file in (tmp_path / "split").glob("*.data")}
    assert sizes == dict(zip(FILES, (VALUES, SCALES), strict=True))
    expected = graphs.run(tmp_path / "whole" / "m.onnx", feed)
    assert np.array_equal(graphs.run(tmp_path / "split" / "m.onnx", feed), expected)
    save_graph(split, tmp_path / "again" / "m.onnx", "m.onnx.data")
    assert np.array_equal(graphs.run(tmp_path / "again" / "m.onnx", feed), expected)


def test_what_fits_is_one_file_like_any_other(graphs, tmp_path):
    save_graph(graphs.packed(HIDDEN, WIDTH), tmp_path / "a.onnx", "a.data", VALUES + SCALES)
    save_graph(graphs.packed(HIDDEN, WIDTH), tmp_path / "b.onnx", "b.data")
    assert (tmp_path / "a.data").read_bytes() == (tmp_path / "b.data").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.data", "a.onnx", "b.data", "b.onnx"]


def test_a_tensor_larger_than_the_limit_has_a_file_of_its_own(graphs, tmp_path):
    save_graph(graphs.packed(HIDDEN, WIDTH), tmp_path / "m.onnx", "m.onnx.data", 1)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["m.onnx", *FILES])
