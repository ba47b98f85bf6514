"""A prepared folder is made once, only where it differs, and scores as the one that it was made from."""

import numpy as np

from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.graph.providers import PROVIDERS
from edgedraft.exporter.models.prepared import prepared_folder, prepared_pair
from edgedraft.exporter.models.sources import ONNX


def test_where_nothing_changes_the_folder_is_the_same(one_node_pairs, tmp_path):
    folder = one_node_pairs.folder(tmp_path / "model")
    assert prepared_folder(folder, PROVIDERS["cuda"], tmp_path / "cache") == folder
    assert not (tmp_path / "cache").exists()


def test_a_changed_folder_has_all_files_and_is_made_once(one_node_pairs, graphs, tmp_path):
    folder = one_node_pairs.folder(tmp_path / "model")
    found = prepared_folder(folder, PROVIDERS["webgpu"], tmp_path / "cache")
    assert found.path == tmp_path / "cache" / "onnx" / "model-webgpu"
    assert (found.source, found.precision) == (folder.source, folder.precision)
    assert found.source.kind == ONNX
    assert sorted(file.name for file in found.path.iterdir()) == sorted(file.name for file in folder.path.iterdir())
    assert load_graph(found.graph).graph[0].attributes["accuracy_level"].as_int() == 1
    feed = graphs.states(one_node_pairs.hidden, 3)
    np.testing.assert_allclose(graphs.run(found.graph, feed), graphs.run(folder.graph, feed), atol=0.05)
    written = found.graph.stat().st_mtime_ns
    assert prepared_folder(folder, PROVIDERS["webgpu"], tmp_path / "cache") == found
    assert found.graph.stat().st_mtime_ns == written


def test_a_pair_is_to_be_opened_on_the_provider(one_node_pairs, tmp_path):
    pair = prepared_pair(one_node_pairs.pair(tmp_path / "models"), PROVIDERS["webgpu"], tmp_path / "cache")
    assert pair.settings.provider == "webgpu"
    assert (pair.target.key, pair.drafter.key) == ("big-webgpu", "small-webgpu")
