"""Draft ids and target ids: the map is checked once, and every fault names its rule and its file."""

import re

import numpy as np
import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.tensors import read_tensors, write_tensors
from edgedraft.runtime.bundle.index_map_file import TENSOR_NAME, read_index_map, write_index_map
from edgedraft.runtime.core.index_map import IndexMap

FAULTS = [
    (np.array([0, 1], dtype=np.int32), "index map: expected one row of int64, got int32"),
    (np.array([0.0, 1.0]), "index map: expected one row of int64, got float64"),
    (np.array([], dtype=np.int64), "index map: expected 1..5 ids, got 0"),
    (np.arange(6, dtype=np.int64), "index map: expected 1..5 ids, got 6"),
    (np.array([1, 1], dtype=np.int64), "index map: ids must strictly increase, got a repeat or a step down"),
    (np.array([2, 1], dtype=np.int64), "index map: ids must strictly increase, got a repeat or a step down"),
    (np.array([-1, 2], dtype=np.int64), "index map: ids must lie in 0..4, got -1..2"),
    (np.array([1, 5], dtype=np.int64), "index map: ids must lie in 0..4, got 1..5"),
]


def a_map(*ids, vocab_size=5):
    return IndexMap(target_ids=np.array(ids, dtype=np.int64), target_vocab_size=vocab_size)


@pytest.mark.parametrize(("ids", "message"), FAULTS)
def test_a_faulty_map_is_refused(ids, message):
    with pytest.raises(EdgedraftError, match=f"^{re.escape(message)}$"):
        IndexMap(target_ids=ids, target_vocab_size=5)


def test_more_than_one_row_is_refused():
    with pytest.raises(EdgedraftError, match=r"^index map: expected one row of int64"):
        IndexMap(target_ids=np.zeros((1, 2), dtype=np.int64), target_vocab_size=5)


def test_draft_ids_lead_to_target_ids():
    index_map = a_map(0, 2, 4)
    assert [index_map.to_target(draft_id) for draft_id in range(index_map.draft_vocab_size)] == [0, 2, 4]
    assert type(index_map.to_target(1)) is int


def test_the_identity_keeps_every_token():
    index_map = IndexMap.identity(4)
    assert index_map.draft_vocab_size == index_map.target_vocab_size == 4
    assert [index_map.to_target(token) for token in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize(("token_ids", "held"), [([], True), ([2], True), ([4, 0], True), ([2, 3], False)])
def test_a_map_holds_ids_only_when_it_holds_all_of_them(token_ids, held):
    assert a_map(0, 2, 4).holds(token_ids) is held


def test_a_written_map_reads_back(tmp_path):
    write_index_map(tmp_path / "map.safetensors", a_map(0, 2, 4))
    found = read_index_map(tmp_path / "map.safetensors", 5)
    assert found.target_ids.tolist() == [0, 2, 4]
    assert found.target_ids.dtype == np.int64
    assert found.target_vocab_size == 5


def test_the_file_says_what_its_ids_mean(tmp_path):
    write_index_map(tmp_path / "map.safetensors", a_map(0, 2, 4))
    assert read_tensors(tmp_path / "map.safetensors")[1] == {"target_vocab_size": "5", "convention": "absolute"}


@pytest.mark.parametrize(("ids", "message"), [fault for fault in FAULTS if fault[0].dtype != np.float64])
def test_a_faulty_file_is_named(tmp_path, ids, message, raises_exactly):
    path = tmp_path / "map.safetensors"
    write_tensors(path, {TENSOR_NAME: ids})
    with raises_exactly(f"{path}: {message} - export the bundle again"):
        read_index_map(path, 5)


@pytest.mark.parametrize(("names", "listed"), [([], "none"), (["b", "a"], "a, b")])
def test_a_file_without_the_tensor_is_named(tmp_path, names, listed, raises_exactly):
    path = tmp_path / "map.safetensors"
    write_tensors(path, {name: np.zeros(1, dtype=np.int64) for name in names})
    with raises_exactly(f"{path}: no tensor target_ids, got {listed}"):
        read_index_map(path, 5)


def test_a_missing_file_is_named(tmp_path, raises_exactly):
    with raises_exactly(f"{tmp_path}/map.safetensors: no such file"):
        read_index_map(tmp_path / "map.safetensors", 5)


@pytest.mark.parametrize("ids", [(1, -(2**63), -(2**62), 5), (0, 2**63 - 1, -(2**62), 5), (1, -(2**63), 6)])
def test_steps_that_wrap_around_64_bits_are_refused(ids):
    with pytest.raises(EdgedraftError, match="index map: ids must strictly increase"):
        IndexMap(target_ids=np.array(ids, dtype=np.int64), target_vocab_size=9)
