"""In exact mode an int4 token has the same logits, bit for bit, whatever else is read in its pass."""

import shutil

import numpy as np
import pytest

from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import TABLE as PRECISIONS
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from tests.runtime.native.conftest import kernels, library  # noqa: F401

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


def test_logits_do_not_depend_on_what_is_read_in_one_pass(path, kernels):  # noqa: F811
    expected = None
    for kernel in kernels:
        model = opened(path, kernels=kernel, exact=True)
        whole = read_in_pieces(model, [CONTEXT])
        expected = whole if expected is None else expected
        np.testing.assert_array_equal(whole, expected, err_msg=kernel)
        for sizes in PIECES:
            np.testing.assert_array_equal(read_in_pieces(model, sizes), whole, err_msg=f"{kernel} {sizes}")


def test_a_rejected_draft_leaves_no_trace(path):
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


def test_without_it_they_do(path):
    model = opened(path)
    whole = read_in_pieces(model, [CONTEXT])
    assert (read_in_pieces(model, [1]) != whole).any()


def test_a_graph_that_rounds_by_neighbours_is_refused(path):
    with pytest.raises(EdgedraftError, match="exact needs own kernels, got asked for - open it without exact"):
        opened(path, kernels="stock", exact=True)
