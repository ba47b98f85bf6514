"""A drafter padded to another width than its target drafts the tokens that both have, and reads any token."""

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.loading import vocabulary_width
from edgedraft.exporter.graph.widths import first_ids, fit_drafter, head_rows, limit_token_ids
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.index_map import IndexMap

WIDTH, HIDDEN = 96, 16


@pytest.fixture
def drafter(graphs):
    """Embedding times head, without a cache."""
    rng = np.random.default_rng(0)
    table, head = (rng.normal(size=shape).astype(np.float32) for shape in ((WIDTH, HIDDEN), (HIDDEN, WIDTH)))
    ids = graphs.value("input_ids", [1, "rows"], ir.DataType.INT64)
    states = graphs.node("Gather", [graphs.constant("table", table), ids])
    logits = graphs.node("MatMul", [states.outputs[0], graphs.constant("head", head)], name="head")
    return graphs.model([ids], [states, logits], [graphs.logits_of(logits, WIDTH)]), table @ head


def read(graphs, model, *ids):
    return graphs.run(model, {"input_ids": np.array([ids], dtype=np.int64)})[0]


def test_a_wider_drafter_loses_its_last_logits(graphs, drafter):
    model, expected = drafter
    fit_drafter(model, 64)
    assert vocabulary_width(model) == 64
    np.testing.assert_allclose(read(graphs, model, 5, 63), expected[[5, 63], :64], rtol=1e-5)


def test_a_narrower_drafter_never_likes_what_it_lacks(graphs, drafter):
    model, expected = drafter
    fit_drafter(model, 128)
    found = read(graphs, model, 5, 95, 96, 127)
    np.testing.assert_allclose(found[:, :WIDTH], expected[[5, 95, 95, 95]], rtol=1e-5)
    assert (found[:, WIDTH:] == -np.inf).all()


def test_a_drafter_of_the_same_width_stays_as_it_is(graphs, drafter):
    model, _ = drafter
    before = len(model.graph)
    fit_drafter(model, WIDTH)
    limit_token_ids(model, WIDTH, WIDTH)
    assert len(model.graph) == before


def test_ids_are_limited_once(drafter):
    model, _ = drafter
    limit_token_ids(model, WIDTH, 128)
    nodes = len(model.graph)
    limit_token_ids(model, WIDTH, 128)
    assert len(model.graph) == nodes


@pytest.mark.parametrize("vocab_size", [64, 128])
def test_a_trimmed_drafter_maps_into_the_targets_ids(graphs, drafter, vocab_size):
    model, expected = drafter
    kept = IndexMap(target_ids=np.array([1, 9, 63]), target_vocab_size=vocab_size)
    trim_head(model, head_rows(kept, WIDTH))
    limit_token_ids(model, WIDTH, vocab_size)
    np.testing.assert_allclose(read(graphs, model, 7), expected[7, [1, 9, 63]][None], rtol=1e-5)


def test_a_token_without_a_row_cannot_be_kept():
    kept = IndexMap(target_ids=np.array([1, 100]), target_vocab_size=128)
    with pytest.raises(EdgedraftError, match="expected ids below the drafter's 96 rows, got 100"):
        head_rows(kept, 96)


@pytest.mark.parametrize(("width", "shared"), [(96, 96), (200, 128)])
def test_both_models_share_the_first_ids(width, shared):
    ids = first_ids(width, 128)
    assert (ids.draft_vocab_size, ids.target_vocab_size) == (shared, 128)
