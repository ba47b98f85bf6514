"""A drafter fits a target when its ids mean the target's tokens: one tokenizer, one width of logits."""

import numpy as np
import pytest

from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.loading import load_graph, model_size
from edgedraft.exporter.models.pair import Pair
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
    rule = r"^target and drafter must share one tokenizer: big has [0-9a-f]{12}, got [0-9a-f]{12} from small - choose"
    with pytest.raises(EdgedraftError, match=rule):
        Pair(target, drafter, SETTINGS)


def test_another_width_is_refused(one_node_pairs, tmp_path):
    target, drafter = one_node_pairs.folder(tmp_path / "big"), one_node_pairs.folder(tmp_path / "small", width=128)
    with pytest.raises(EdgedraftError) as error:
        Pair(target, drafter, SETTINGS)
    assert str(error.value) == "drafter logits must be 192 wide, got 128 - choose a drafter of the target's family"
