"""A drafter fits a target when its ids mean the target's tokens: one tokenizer, one width of logits."""

import numpy as np
import pytest

from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.loading import load_graph, model_size
from edgedraft.exporter.graph.providers import PROVIDERS
from edgedraft.exporter.models.pair import Pair, prepared_folder, prepared_pair
from edgedraft.exporter.models.sources import ONNX
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.onnx.session import SessionSettings

SETTINGS = SessionSettings(threads=1)


def test_a_pair_knows_its_models_without_opening_them(one_node_pairs, tmp_path):
    pair = one_node_pairs.pair(tmp_path)
    assert pair.vocab_size == one_node_pairs.vocab_size
    assert pair.end_token_ids == (7, 190)
    assert pair.context_length == 4096
    assert pair.target_size == pair.drafter_size
    assert pair.trimmed_size(pair.vocab_size) == pair.drafter_size


def test_a_trimmed_drafter_saves_a_row_for_each_dropped_token(one_node_pairs, tmp_path):
    pair = one_node_pairs.pair(tmp_path)
    trimmed = load_graph(pair.drafter.graph)
    trim_head(trimmed, IndexMap(target_ids=np.arange(64), target_vocab_size=pair.vocab_size))
    assert pair.trimmed_size(64) == model_size(trimmed)
    assert pair.trimmed_size(64).parameters == 64 * one_node_pairs.hidden


def test_another_tokenizer_is_refused(one_node_pairs, tmp_path):
    target, drafter = one_node_pairs.folder(tmp_path / "big"), one_node_pairs.folder(tmp_path / "small", words=4)
    with pytest.raises(EdgedraftError) as error:
        Pair(target, drafter, SETTINGS)
    assert str(error.value) == (
        "target and drafter must share one tokenizer, got 1 token that differs: word3 (3) of small alone - "
        "choose a drafter of the target's family"
    )


@pytest.mark.parametrize("width", [128, 256])
def test_padding_may_make_the_drafter_narrower_or_wider(one_node_pairs, tmp_path, width):
    target, drafter = one_node_pairs.folder(tmp_path / "big"), one_node_pairs.folder(tmp_path / "small", width=width)
    pair = Pair(target, drafter, SETTINGS)
    assert (pair.vocab_size, pair.drafter_width, pair.most_draft_tokens) == (192, width, min(width, 192))
    assert pair.trimmed_size(width) == pair.drafter_size
    assert pair.trimmed_size(64).parameters == 64 * one_node_pairs.hidden
    assert pair.memory_bytes(64) < pair.memory_bytes(pair.most_draft_tokens)


def test_a_drafter_without_rows_for_all_tokens_was_trimmed_before(one_node_pairs, tmp_path):
    target = one_node_pairs.folder(tmp_path / "big", words=192)
    drafter = one_node_pairs.folder(tmp_path / "small", words=192, width=128)
    with pytest.raises(EdgedraftError, match=r"64 tokens that differ: word128 \(128\) of big alone"):
        Pair(target, drafter, SETTINGS)


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
