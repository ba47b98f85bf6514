"""Equal tensors are stored once, whatever their shapes, and every reader still gets its values."""

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.loading import fix_cache_shapes, load_graph, save_graph
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import precision_named
from edgedraft.exporter.graph.sharing import repeated_bytes
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from tests.exporter.families import VOCAB, build, open_family

DATA = "model.onnx.data"
TEXT = np.random.default_rng(0).integers(2, VOCAB, 20).tolist()


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return build("Qwen 2", tmp_path_factory.mktemp("tied"))


def packed(graph, precision: str) -> ir.Model:
    model = open_family(graph)
    fix_cache_shapes(model)
    pack_model(model, precision_named(precision))
    return model


def stored(model: ir.Model) -> dict[str, np.ndarray]:
    return {name: value.const_value.numpy().copy() for name, value in model.graph.initializers.items()}


def read(path) -> np.ndarray:
    return open_model(path, SessionSettings(threads=2, context_length=64)).read(TEXT).logits.copy()


@pytest.mark.parametrize("precision", ["int4", "int8"])
def test_a_tied_matrix_is_stored_once_for_table_and_head(graph, tmp_path, precision, monkeypatch):
    model = packed(graph, precision)
    expected = stored(model)
    save_graph(model, tmp_path / "model.onnx", DATA)
    assert {name: array.shape for name, array in stored(model).items()} == {n: a.shape for n, a in expected.items()}
    again = stored(load_graph(tmp_path / "model.onnx"))
    assert again.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(again[name], array)
    monkeypatch.setattr("edgedraft.exporter.graph.sharing._LEAST_BYTES", 1 << 40)
    (tmp_path / "apart").mkdir()
    save_graph(packed(graph, precision), tmp_path / "apart" / "model.onnx", DATA)
    matrix = VOCAB * 128 * precision_named(precision).bits // 8
    sizes = [(folder / DATA).stat().st_size for folder in (tmp_path, tmp_path / "apart")]
    assert sizes[1] - sizes[0] >= matrix
    np.testing.assert_array_equal(read(tmp_path / "model.onnx"), read(tmp_path / "apart" / "model.onnx"))


def test_what_is_shared_stays_shared_when_it_is_saved_again(graph, tmp_path):
    save_graph(packed(graph, "int4"), tmp_path / "model.onnx", DATA)
    (tmp_path / "again").mkdir()
    save_graph(load_graph(tmp_path / "model.onnx"), tmp_path / "again" / "model.onnx", DATA)
    assert (tmp_path / "again" / DATA).stat().st_size == (tmp_path / DATA).stat().st_size
    np.testing.assert_array_equal(read(tmp_path / "again" / "model.onnx"), read(tmp_path / "model.onnx"))


def test_a_trimmed_head_gets_rows_of_its_own_and_the_table_stays_whole(graph, tmp_path):
    save_graph(packed(graph, "int4"), tmp_path / "model.onnx", DATA)
    full = read(tmp_path / "model.onnx")
    kept = IndexMap(target_ids=np.arange(0, VOCAB, 4, dtype=np.int64), target_vocab_size=VOCAB)
    model = load_graph(tmp_path / "model.onnx")
    trim_head(model, kept)
    (tmp_path / "trimmed").mkdir()
    save_graph(model, tmp_path / "trimmed" / "model.onnx", DATA)
    np.testing.assert_array_equal(read(tmp_path / "trimmed" / "model.onnx"), full[:, kept.target_ids])


def test_what_is_stored_once_counts_twice_in_memory(tmp_path):
    ids = ir.val("ids", ir.DataType.INT64, ["rows"])
    graph = ir.Graph([ids], [], nodes=[], opset_imports={"": 21}, name="tied")
    numbers = np.arange(4096, dtype=np.float32)
    for name, array in {"table": numbers.reshape(64, 64), "head": numbers.reshape(32, 128), "other": -numbers}.items():
        graph.register_initializer(ir.val(name, const_value=ir.tensor(array, name=name)))
    node = ir.node("Gather", [graph.initializers["table"], ids])
    node.outputs[0].dtype, node.outputs[0].shape = ir.DataType.FLOAT, ir.Shape(["rows", 64])
    graph.append(node)
    graph.outputs.append(node.outputs[0])
    save_graph(ir.Model(graph, ir_version=10), tmp_path / "model.onnx", DATA)
    assert (tmp_path / DATA).stat().st_size == 2 * numbers.nbytes
    assert repeated_bytes(load_graph(tmp_path / "model.onnx")) == numbers.nbytes
