"""Every precision of the table on a small decoder: it runs, stays near the float one, and its head trims exactly."""

import shutil

import numpy as np
import pytest

from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.heads.tail import find_tail
from edgedraft.exporter.graph.loading import load_graph, model_size, save_graph
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import (
    BLOCKS,
    CANDIDATES,
    DEFAULT,
    PRECISIONS,
    TABLE,
    precision_named,
)
from edgedraft.exporter.graph.worker_pack import pack_folder
from edgedraft.exporter.pipeline.quality import kl_rows
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.onnx.session import SessionSettings, open_model

SETTINGS = SessionSettings(threads=2, context_length=64)
TEXT = np.random.default_rng(0).integers(2, 300, 24).tolist()
PACKED = [name for name in PRECISIONS if name != "fp32"]


@pytest.fixture(scope="module")
def packed(tiny_opened, tmp_path_factory):
    """The tiny target's folder in every precision."""
    root = tmp_path_factory.mktemp("precisions")

    def make(name: str):
        folder = root / name
        if not folder.exists():
            folder.mkdir()
            model = load_graph(tiny_opened.target.graph)
            pack_model(model, TABLE[name])
            save_graph(model, folder / "model.onnx", "model.onnx.data")
        return folder / "model.onnx"

    return make


def read(graph, ids) -> np.ndarray:
    return open_model(graph, SETTINGS).read(ids).logits.copy()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


# --- each precision, run ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRECISIONS)
def test_trimmed_logits_are_the_full_heads_bit_for_bit(packed, name, tmp_path):
    full = open_model(packed(name), SETTINGS)
    kept = IndexMap(target_ids=np.arange(0, full.vocab_size, 8), target_vocab_size=full.vocab_size)
    model = load_graph(packed(name))
    trim_head(model, kept)
    save_graph(model, tmp_path / "model.onnx", "model.onnx.data")
    trimmed = open_model(tmp_path / "model.onnx", SETTINGS)
    assert trimmed.vocab_size == 128
    for rows in (1, 2, 3, 8, 17):
        full.rewind(0)
        trimmed.rewind(0)
        assert np.array_equal(trimmed.read(TEXT[:rows]).logits, full.read(TEXT[:rows]).logits[:, kept.target_ids]), (
            f"{rows} rows"
        )


def test_more_bits_stay_nearer_to_the_float_model(packed, tiny_opened):
    wanted = log_softmax(read(tiny_opened.target.graph, TEXT))
    strays = {name: kl_rows(wanted, log_softmax(read(packed(name), TEXT))).mean() for name in PRECISIONS}
    assert strays["fp32"] == 0.0
    assert strays["int8"] < strays["int8-dynamic"] < strays["int4"] / 3


@pytest.mark.parametrize("name", ["int4-exact", "fp32"])
def test_an_exact_precision_differs_by_float_rounding_only_between_row_counts(packed, name):
    model = open_model(packed(name), SETTINGS)
    whole = model.read(TEXT).logits.copy()
    model.rewind(0)
    single = np.concatenate([model.read([token]).logits.copy() for token in TEXT])
    assert np.array_equal(single.argmax(axis=-1), whole.argmax(axis=-1))
    np.testing.assert_allclose(single, whole, atol=1e-4)


@pytest.mark.parametrize("name", PACKED)
def test_packing_leaves_the_work_and_shrinks_the_files(packed, tiny_opened, name):
    before, after = (model_size(load_graph(graph)) for graph in (tiny_opened.target.graph, packed(name)))
    assert after.parameters == before.parameters
    assert after.weight_bytes < before.weight_bytes * (0.2 if "int4" in name else 0.3)
    attention = {
        node.attributes["bits"].as_int()
        for node in load_graph(packed(name)).graph
        if node.op_type == "MatMulNBits" and "/attn/" in node.name
    }
    assert attention == ({TABLE[name].attention_bits} if TABLE[name].layout == BLOCKS else set())
    data = packed(name).with_name("model.onnx.data").stat().st_size
    assert data < 0.4 * tiny_opened.target.graph.with_name("model.onnx.data").stat().st_size


# --- the folder ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["int4", "fp32"])
def test_a_folder_is_packed_whole(tiny_opened, tmp_path, name):
    built, output = tmp_path / "built", tmp_path / "output"
    shutil.copytree(tiny_opened.target.path, built)
    (built / "builder-cache").mkdir()
    output.mkdir()
    pack_folder(built, output, name)
    expected = {file.name for file in tiny_opened.target.path.iterdir()}
    assert {file.name for file in output.iterdir()} == expected
    kind = {"int4": "MatMulNBits", "fp32": "MatMul"}[name]
    assert find_tail(load_graph(output / "model.onnx")).product.op_type == kind
    assert read(output / "model.onnx", TEXT).shape == (len(TEXT), 1024)


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_names_that_users_type():
    assert " ".join(PRECISIONS) == (
        "int4 int4-block64 int4-block32-zp int4-block32 int4-exact int8-table4 int8 int8-dynamic fp32"
    )
    assert CANDIDATES[0] == DEFAULT
    assert {*CANDIDATES} <= {*PRECISIONS}
    assert all(name == precision.name and precision.purpose for name, precision in TABLE.items())


def test_candidates_for_the_default_come_in_order_of_their_size(packed):
    sizes = [packed(name).with_name("model.onnx.data").stat().st_size for name in CANDIDATES]
    assert sizes == sorted(sizes)


def test_fp32_changes_nothing():
    assert (TABLE["fp32"].embedding_scheme(), TABLE["fp32"].layout) == (None, "float")


def test_only_the_exact_precision_multiplies_in_float():
    levels = {name: precision.accuracy_level for name, precision in TABLE.items() if precision.layout == BLOCKS}
    assert {name for name, level in levels.items() if level != 4} == {"int4-exact"}


def test_an_unknown_name_is_refused():
    with pytest.raises(EdgedraftError) as error:
        precision_named("int2")
    assert str(error.value) == (f"precision: expected one of {', '.join(PRECISIONS)}, got int2")
