"""Graphs in plain operators go the same way as the builder's: measured, packed, trimmed, copied from any folder."""

import json
import shutil

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.loading import (
    cache_bytes_per_token,
    fix_cache_shapes,
    in_place,
    load_graph,
    model_size,
    past_and_present,
    save_graph,
)
from edgedraft.exporter.graph.packing import pack_model, pack_products
from edgedraft.exporter.graph.precisions import PRECISIONS, TABLE
from edgedraft.exporter.models.convert import AS_EXPORTED, context_length, convert
from edgedraft.exporter.models.end_tokens import end_token_ids
from edgedraft.exporter.models.sources import HUGGING_FACE, ONNX, onnx_file, resolve
from edgedraft.exporter.pipeline.quality import kl_rows
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from tests.plain_llama import Style, save_plain_llama

SETTINGS = SessionSettings(threads=2, context_length=64)
TEXT = np.random.default_rng(0).integers(2, 300, 24).tolist()
DATA = "model.onnx.data"


@pytest.fixture
def plain(tiny_pair, tmp_path):
    """The tiny target's weights in a plain graph, loaded."""

    def make(**style):
        save_plain_llama(tiny_pair.target, tmp_path / "plain.onnx", Style(**style))
        return load_graph(tmp_path / "plain.onnx")

    return make


def read(model, folder) -> np.ndarray:
    folder.mkdir(exist_ok=True)
    save_graph(model, folder / "model.onnx", DATA)
    return open_model(folder / "model.onnx", SETTINGS).read(TEXT).logits.copy()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


# --- what a token's keys and values take -----------------------------------------------------------------------------


@pytest.mark.parametrize("names", [{}, {"past": "past_{kind}_{layer}", "present": "present_{kind}_{layer}"}])
def test_a_past_that_grows_takes_its_room_twice(plain, tiny_opened, names):
    own = cache_bytes_per_token(load_graph(tiny_opened.target.graph))
    assert own == 2 * 2 * 2 * 32 * 4
    model = plain(**names)
    before = [list(past.shape) for past, _ in past_and_present(model)]
    fix_cache_shapes(model)
    assert [list(past.shape) for past, _ in past_and_present(model)] == before
    assert cache_bytes_per_token(model) == 2 * own


@pytest.mark.parametrize(
    ("lengths", "reader", "expected"),
    [
        (("past", "total"), "GroupQueryAttention", True),
        (("past", "total"), "Concat", False),
        (("context", "context"), "Concat", True),
        ((None, None), "Concat", False),
        ((None, None), "GroupQueryAttention", True),
    ],
)
def test_the_rule_is_the_runtimes(lengths, reader, expected):
    past, present = (ir.val(name, ir.DataType.FLOAT, ["b", 2, n, 4]) for name, n in zip("xy", lengths, strict=True))
    node = ir.node(reader, [past])
    assert in_place(past, present) is expected
    assert node.inputs[0] is past


# --- shapes that lie among the weights -------------------------------------------------------------------------------


def test_integers_that_say_shapes_are_not_written_to_the_data_file(plain, tmp_path):
    model = plain()
    ir.save(model, tmp_path / "model.onnx", external_data=DATA, size_threshold_bytes=0)
    with pytest.raises(EdgedraftError, match="external data"):
        open_model(tmp_path / "model.onnx", SETTINGS)
    expected = open_model(tmp_path / "plain.onnx", SETTINGS).read(TEXT).logits
    np.testing.assert_array_equal(read(plain(), tmp_path / "kept"), expected)


# --- packing and trimming --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRECISIONS)
def test_packed_it_says_what_the_packed_builders_graph_says(plain, tiny_opened, tmp_path, name):
    """Kernels that round activations to int8 round apart; the others differ by float rounding alone."""
    by_builder, own = load_graph(tiny_opened.target.graph), plain()
    for model in (by_builder, own):
        pack_model(model, TABLE[name])
    expected, found = (log_softmax(read(model, tmp_path / str(id(model)))) for model in (by_builder, own))
    assert kl_rows(expected, found).mean() < (0.02 if TABLE[name].accuracy_level == 4 else 1e-9)


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_head_that_is_the_embedding_turned_is_packed_too(plain, tmp_path, name):
    whole, packed = plain(tied=True), plain(tied=True)
    pack_model(packed, TABLE[name])
    full, found = (log_softmax(read(model, tmp_path / str(id(model)))) for model in (whole, packed))
    assert kl_rows(full, found).mean() < kl_rows(full[1:], found[:-1]).mean() / 5
    assert (found == full).all() == (name == "fp32")
    assert model_size(packed).parameters == model_size(whole).parameters
    left = {node.op_type for node in packed.graph if any(_is_weight(value) for value in node.inputs)}
    assert ("Gather" in left) == (name == "fp32")
    assert ("model.embed_tokens.weight" in packed.graph.initializers) == (name == "fp32")


def _is_weight(value) -> bool:
    return value is not None and value.const_value is not None and len(value.const_value.shape) == 2


def test_attention_gets_the_bits_that_its_precision_says(plain):
    model = plain()
    pack_model(model, TABLE["int4"])
    bits = {node.name: node.attributes["bits"].as_int() for node in model.graph if node.op_type == "MatMulNBits"}
    assert bits["/model/layers/0/self_attn/q_proj/MatMul"] == bits["/model/layers/1/self_attn/o_proj/MatMul"] == 8
    assert bits["/model/layers/0/mlp/up_proj/MatMul"] == bits["/lm_head/MatMul"] == 4


def test_a_weight_that_cannot_be_packed_is_named(graphs):
    states = graphs.value("hidden", ["rows", 64])
    weight = graphs.constant("c_fc.weight", np.ones((64, 32), np.float32))
    product = graphs.node("Gemm", [states, weight], name="/h/0/c_fc/Gemm")
    model = graphs.model([states], [product], [graphs.logits_of(product, 32)])
    with pytest.raises(EdgedraftError) as error:
        pack_products(model, TABLE["int4-block32"])
    remedy = "choose fp32, or export the model with onnxruntime-genai's builder"
    assert str(error.value) == f"node /h/0/c_fc/Gemm: the weight c_fc.weight of a Gemm cannot be packed - {remedy}"


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", ["fp32", "int4"])
def test_a_trimmed_head_says_the_same_bits(plain, tmp_path, name, tied):
    kept = np.sort(np.random.default_rng(1).permutation(1024)[:256])
    texts = []
    for trimmed in (False, True):
        model = plain(tied=tied)
        pack_model(model, TABLE[name])
        if trimmed:
            trim_head(model, IndexMap(target_ids=kept, target_vocab_size=1024))
        texts.append(read(model, tmp_path / str(trimmed)))
    np.testing.assert_array_equal(texts[1], texts[0][:, kept])


# --- folders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tiny_pair, tmp_path):
    """A folder as Optimum or transformers.js leave it: a plain graph, configurations, tokenizer, nothing of genai's."""

    def make(graph="model.onnx"):
        path = tmp_path / "exported"
        save_plain_llama(tiny_pair.target, path / graph)
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copyfile(tiny_pair.target / name, path / name)
        return path

    return make


@pytest.mark.parametrize("graph", ["model.onnx", "onnx/model.onnx"])
def test_a_foreign_folder_becomes_one_of_ours(folder, tmp_path, graph):
    path = folder(graph)
    source = resolve(str(path), tmp_path)
    assert (source.kind, onnx_file(source)) == (ONNX, path / graph)
    made = convert(source, "int4", tmp_path / "cache")
    assert made.precision == AS_EXPORTED
    assert (context_length(made.path), end_token_ids(made.path)) == (512, (1,))
    names = [
        "chat_template.jinja",
        "genai_config.json",
        "model.onnx",
        DATA,
        "sums.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert sorted(file.name for file in made.path.iterdir()) == names
    expected = open_model(path / graph, SETTINGS).read(TEXT).logits
    np.testing.assert_array_equal(open_model(made.graph, SETTINGS).read(TEXT).logits, expected)


def test_a_template_among_the_settings_gets_a_file_of_its_own(folder, tmp_path):
    """Browsers and other engines look for it there."""
    path = folder()
    (path / "chat_template.jinja").unlink()
    settings = json.loads((path / "tokenizer_config.json").read_text()) | {"chat_template": "{{ messages }}"}
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    made = convert(resolve(str(path), tmp_path), "int4", tmp_path / "cache")
    assert (made.path / "chat_template.jinja").read_text() == "{{ messages }}"


def test_its_own_genai_settings_are_kept(folder, tmp_path):
    path = folder()
    (path / "genai_config.json").write_text(json.dumps({"model": {"context_length": 7, "eos_token_id": 3}}))
    assert context_length(convert(resolve(str(path), tmp_path), "int4", tmp_path / "cache").path) == 7


def test_weights_beside_an_onnx_folder_are_exported_anew(folder, tmp_path):
    path = folder("onnx/model.onnx")
    (path / "model.safetensors").write_text("weights")
    assert resolve(str(path), tmp_path).kind == HUGGING_FACE


def test_another_graph_in_the_onnx_folder_is_another_source(folder, tmp_path):
    path = folder("onnx/model.onnx")
    before = resolve(str(path), tmp_path).identity
    with (path / "onnx" / "model.onnx").open("ab") as file:
        file.write(b"more")
    assert resolve(str(path), tmp_path).identity != before
