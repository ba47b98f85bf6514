"""Rows of a full head score as the head itself does in ONNX Runtime; heads whose rows would not are refused by name."""

import dataclasses

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.head_rows import head_entry, head_tensors, tap_head, untap
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bundle.head_rows_file import HeadRows, check_head_rows
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.onnx.head_rows import HeadRowProduct

HIDDEN, VOCAB, ROWS = 64, 96, 5
IDS = np.array([0, 3, 4, 50, 94, 95])
REMEDY = " - leave rows from the conversation out"


def product(graphs, kind: str, weight_shape, **attributes) -> ir.Model:
    weight = np.random.default_rng(3).normal(size=weight_shape).astype(np.float32)
    states = graphs.value("hidden", [1, "rows", HIDDEN] if kind == "MatMul" else ["rows", HIDDEN])
    head = graphs.node(kind, [states, graphs.constant("head.weight", weight)], name="head", **attributes)
    return graphs.model([states], [head], [graphs.logits_of(head, VOCAB)])


def tied(graphs) -> ir.Model:
    """The head is the token table, turned round."""
    weight = np.random.default_rng(4).normal(size=(VOCAB, HIDDEN)).astype(np.float32)
    states = graphs.value("hidden", [1, "rows", HIDDEN])
    turned = graphs.node("Transpose", [graphs.constant("table", weight)], name="turned", perm=[1, 0])
    head = graphs.node("MatMul", [states, turned.outputs[0]], name="head")
    return graphs.model([states], [turned, head], [graphs.logits_of(head, VOCAB)])


HEADS = {
    "int4": lambda graphs: graphs.packed(HIDDEN, VOCAB),
    "int4 with zero points": lambda graphs: graphs.packed(HIDDEN, VOCAB, zero_points=True),
    "int4 in one row of numbers": lambda graphs: graphs.packed(HIDDEN, VOCAB, zero_points=True, flat=True),
    "int4 times floats": lambda graphs: graphs.packed(HIDDEN, VOCAB, level=1),
    "int8": lambda graphs: graphs.packed(HIDDEN, VOCAB, bits=8),
    "int8 with zero points": lambda graphs: graphs.packed(HIDDEN, VOCAB, bits=8, zero_points=True),
    "floats": lambda graphs: graphs.plain(HIDDEN, VOCAB),
    "a tied table": tied,
}


@pytest.mark.parametrize("name", HEADS)
def test_rows_score_as_the_head_does(name, graphs):
    model, feed = HEADS[name](graphs), graphs.states(HIDDEN, ROWS)
    entry = head_entry(model, "head")
    tensors = head_tensors(model, entry)
    check_head_rows(entry, tensors)
    [expected], [states] = graphs.run(model, feed), feed.values()
    rows = HeadRowProduct(HeadRows(entry, tensors), len(IDS))
    rows.choose(IDS)
    found = np.stack([rows.logits(Pass(logits=expected, features=states[0]), row) for row in range(ROWS)])
    np.testing.assert_allclose(found, expected[:, IDS], rtol=1e-4, atol=1e-4)


def test_a_state_that_is_not_rounded_as_the_head_rounds_it_scores_otherwise(graphs):
    """The control of the test above: at accuracy level 4, unrounded states are a hundred times further off."""
    model, feed = HEADS["int4"](graphs), graphs.states(HIDDEN, ROWS)
    entry = head_entry(model, "head")
    assert entry.input_bits == 8
    rows = HeadRowProduct(HeadRows(dataclasses.replace(entry, input_bits=32), head_tensors(model, entry)), len(IDS))
    rows.choose(IDS)
    [expected], [states] = graphs.run(model, feed), feed.values()
    found = np.stack([rows.logits(Pass(logits=expected, features=states[0]), row) for row in range(ROWS)])
    assert np.abs(found - expected[:, IDS]).max() > 1e-3


@pytest.mark.parametrize("name", HEADS)
def test_the_tap_gives_what_the_head_reads_and_can_be_taken_away(name, graphs):
    model, feed = HEADS[name](graphs), graphs.states(HIDDEN, ROWS)
    logits = graphs.run(model, feed)
    tap_head(model)
    np.testing.assert_array_equal(graphs.run(model, feed, "features"), next(iter(feed.values())))
    np.testing.assert_array_equal(graphs.run(model, feed), logits)
    nodes = len(list(model.graph))
    untap(model)
    assert [value.name for value in model.graph.outputs] == ["logits"] and len(list(model.graph)) == nodes - 1
    untap(model)
    np.testing.assert_array_equal(graphs.run(model, feed), logits)


def capped(graphs) -> ir.Model:
    states = graphs.value("hidden", [1, "rows", HIDDEN])
    weight = np.ones((HIDDEN, VOCAB), dtype=np.float32)
    head = graphs.node("MatMul", [states, graphs.constant("head.weight", weight)], name="head")
    cap = graphs.node("Tanh", [head.outputs[0]], name="cap")
    return graphs.model([states], [head, cap], [graphs.logits_of(cap, VOCAB)])


REFUSED = {
    "a bias": (
        lambda graphs: graphs.packed(HIDDEN, VOCAB, bias=True),
        "LM head: node head: rows from the conversation need a head without a bias",
    ),
    "a soft cap": (
        capped,
        "LM head: node cap: rows from the conversation need logits that nothing changes behind their product, got Tanh",
    ),
    "a scaled product": (
        lambda graphs: product(graphs, "Gemm", (HIDDEN, VOCAB), alpha=0.5),
        "LM head: node head: rows from the conversation need a product of float weights alone, got Gemm",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_heads_are_refused(name, graphs):
    make, message = REFUSED[name]
    with pytest.raises(EdgedraftError) as error:
        head_entry(make(graphs), "head")
    assert str(error.value) == f"{message}{REMEDY}"
