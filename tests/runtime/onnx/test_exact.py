"""In exact mode an int4 token has the same logits, bit for bit, whatever else is read in its pass."""

import shutil

import numpy as np
import pytest

from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import TABLE as PRECISIONS
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from tests.plain_llama import Style, save_plain_llama
from tests.runtime.native.conftest import kernels, library, stock_attention  # noqa: F401

CONTEXT = 48
TEXT = [int(token) for token in np.random.default_rng(3).integers(10, 1000, CONTEXT)]


@pytest.fixture(scope="module")
def path(library, tiny_opened, tmp_path_factory):  # noqa: F811
    """The tiny target in int4."""
    folder = tmp_path_factory.mktemp("exact") / "model"
    shutil.copytree(tiny_opened.target.graph.parent, folder)
    model = load_graph(folder / "model.onnx")
    pack_model(model, PRECISIONS["int4"])
    save_graph(model, folder / "model.onnx", "packed.data")
    return folder / "model.onnx"


def opened(path, **settings):
    return OnnxGraph(path, SessionSettings(threads=2, context_length=CONTEXT, **settings)).new_model()


def read_in_pieces(model, sizes):
    """Logits of the whole text, read in pieces whose sizes repeat: (tokens, vocab)."""
    model.rewind(0)
    rows, turn = [], 0
    while model.length < CONTEXT:
        piece = TEXT[model.length : model.length + sizes[turn % len(sizes)]]
        rows.append(model.read(piece).logits.copy())
        turn += 1
    return np.concatenate(rows)


PIECES = ([1], [2], [3], [1, 4], [7, 1, 1], [16], [17, 5], [CONTEXT - 1], [1, 2, 3, 5, 8, 13])


@pytest.fixture(params=["ours", "onnxruntime's"])
def attention(request):
    """Whose attention sessions of this test have."""
    if request.param != "ours":
        request.getfixturevalue("stock_attention")
    return request.param


def test_attention_is_ours_where_products_are(path, library, attention):  # noqa: F811
    model, before = opened(path), library.attentions()
    model.read(TEXT[:1])
    assert (library.attentions() > before) == (attention == "ours")


def test_logits_do_not_depend_on_what_is_read_in_one_pass(path, kernels, attention):  # noqa: F811
    expected = None
    for kernel in kernels:
        model = opened(path, kernels=kernel, exact=True)
        whole = read_in_pieces(model, [CONTEXT])
        expected = whole if expected is None else expected
        np.testing.assert_array_equal(whole, expected, err_msg=kernel)
        for sizes in PIECES:
            np.testing.assert_array_equal(read_in_pieces(model, sizes), whole, err_msg=f"{kernel} {sizes}")


def test_rows_of_a_batch_are_read_like_single_texts(path, attention):
    graph = OnnxGraph(path, SessionSettings(threads=2, context_length=CONTEXT, exact=True))
    batch, whole = graph.batch(3), read_in_pieces(graph.new_model(), [CONTEXT])
    for row, length in zip(batch.rows, (3, 9, 20), strict=True):
        row.read(TEXT[:length])
    logits = batch.step([TEXT[3], TEXT[9], TEXT[20]])
    np.testing.assert_array_equal(logits, whole[[3, 9, 20]])


def test_a_rejected_draft_leaves_no_trace(path, attention):
    model = opened(path, exact=True)
    whole = read_in_pieces(model, [CONTEXT])
    model.rewind(20)
    model.read([5, 6, 7])
    model.rewind(21)
    model.rewind(20)
    np.testing.assert_array_equal(model.read(TEXT[20:21]).logits, whole[20:21])
    model.read([9])
    model.rewind(21)
    np.testing.assert_array_equal(model.read(TEXT[21:24]).logits, whole[21:24])


def test_without_it_they_do(path, stock_attention):  # noqa: F811
    model = opened(path)
    whole = read_in_pieces(model, [CONTEXT])
    assert (read_in_pieces(model, [1]) != whole).any()


STOCK = r"exact mode is not possible, onnxruntime's kernels round a row by the rows beside it \(asked for\) - leave"


def test_a_session_that_cannot_be_exact_is_refused_or_labelled(path):
    with pytest.raises(EdgedraftError, match=STOCK):
        opened(path, kernels="stock", exact=True)
    graph = OnnxGraph(path, SessionSettings(threads=2, context_length=CONTEXT, kernels="stock", exact=None))
    assert not graph.exactness.exact
    assert str(graph.exactness) == "inexact: onnxruntime's kernels round a row by the rows beside it"


@pytest.mark.parametrize(("exact", "label"), [(None, "exact"), (True, "exact"), (False, "inexact: exact mode is off")])
def test_a_session_says_if_it_is_exact(path, exact, label, attention):
    label = "exact" if attention == "ours" else label  # it costs nothing there, so that nothing is to be switched off
    assert str(OnnxGraph(path, SessionSettings(threads=2, context_length=CONTEXT, exact=exact)).exactness) == label


def test_a_float_graph_is_exact_on_any_kernels(tiny_opened):
    model = opened(tiny_opened.target.graph, kernels="stock", exact=True)
    whole = read_in_pieces(model, [CONTEXT])
    for sizes in PIECES:
        np.testing.assert_array_equal(read_in_pieces(model, sizes), whole)


def test_a_graph_that_scales_over_all_rows_is_found(tiny_opened, tmp_path):
    folder = shutil.copytree(tiny_opened.target.graph.parent, tmp_path / "model")
    model = load_graph(folder / "model.onnx")
    pack_model(model, PRECISIONS["int8-dynamic"])
    save_graph(model, folder / "model.onnx", "packed.data")
    with pytest.raises(EdgedraftError, match="the graph rounds a row by the rows beside it - leave"):
        opened(folder / "model.onnx", exact=True)


def test_a_graph_that_appends_to_its_past_is_refused(tiny_pair, tmp_path):
    save_plain_llama(tiny_pair.target, tmp_path / "model.onnx", Style())
    with pytest.raises(EdgedraftError, match="does not write keys and values in place"):
        opened(tmp_path / "model.onnx", exact=True)


def test_no_pass_is_long_enough_to_end_in_a_single_row(tiny_opened):
    """Attention takes rows in blocks: of 64 with heads of 32, so that a pass of 65 would read its last row alone."""
    text = [int(token) for token in np.random.default_rng(4).integers(10, 1000, 65)]
    graph = OnnxGraph(tiny_opened.target.graph, SessionSettings(threads=2, context_length=65, exact=True))
    model, unpadded = graph.new_model(), graph.new_model(exact=False)
    apart = [model.read([token]).logits[0].copy() for token in text]
    model.rewind(0)
    np.testing.assert_array_equal(model.read(text).logits, apart)
    assert (unpadded.read(text).logits[64] != apart[64]).any()


@pytest.mark.parametrize("context_length", [1, 2, 3])
def test_short_contexts_are_tried_out_too(path, context_length):
    graph = OnnxGraph(path, SessionSettings(threads=2, context_length=context_length, exact=True))
    assert graph.exactness.exact


def test_rows_of_a_batch_are_models_alone(path):
    """Three texts step together; their logits are those of one model, bit for bit."""
    graph = OnnxGraph(path, SessionSettings(threads=2, context_length=CONTEXT, exact=True))
    alone = read_in_pieces(graph.new_model(), [CONTEXT])
    batch = graph.batch(3)
    for row, start in zip(batch.rows, (2, 9, 17), strict=True):
        row.read(TEXT[:start])
    for step in range(10):
        logits = batch.step([TEXT[start + step] for start in (2, 9, 17)])
        np.testing.assert_array_equal(logits, alone[[2 + step, 9 + step, 17 + step]])
