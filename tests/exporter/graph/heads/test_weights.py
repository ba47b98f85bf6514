"""What stands between a weight and its product: followed, cut for the head alone, refused by name when not known."""

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.head import trim_head
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.index_map import IndexMap
from tests.exporter.graph.heads.matrix import random_map
from tests.exporter.graph.heads.shapes import OPSETS

HIDDEN, WIDTH = 64, 256
KEPT = random_map(64, WIDTH, seed=0)
IDS = {"input_ids": np.arange(WIDTH, dtype=np.int64)[None]}


def table(dtype: type = np.float32) -> np.ndarray:
    numbers = np.random.default_rng(0).normal(size=(WIDTH, HIDDEN), scale=40 if dtype == np.int8 else 1)
    return np.clip(numbers, -127, 127).astype(dtype)


def refused(model: ir.Model) -> str:
    """The error's text; the graph is as it was."""
    before = [(node.name, [value and value.name for value in node.inputs]) for node in model.graph]
    with pytest.raises(EdgedraftError) as error:
        trim_head(model, IndexMap.identity(WIDTH))
    assert [(node.name, [value and value.name for value in node.inputs]) for node in model.graph] == before
    return str(error.value)


# --- tied embeddings -------------------------------------------------------------------------------------------------


def tied(graphs, *, quantized: bool, turned_too: bool = False) -> ir.Model:
    """Ids → Gather from the table → states, an output too → MatMul by the table turned round.

    ``quantized`` tables pass one DequantizeLinear for both readers; ``turned_too``: the Gather reads the Transpose.
    """
    ids = graphs.value("input_ids", [1, "rows"], ir.DataType.INT64)
    floats = graphs.constant("table", table(np.int8 if quantized else np.float32))
    nodes = []
    if quantized:
        scales = graphs.constant("scales", np.linspace(0.01, 0.02, WIDTH, dtype=np.float32))
        nodes.append(graphs.node("DequantizeLinear", [floats, scales], axis=0, name="unpack"))
        floats = nodes[0].outputs[0]
    turn = graphs.node("Transpose", [floats], perm=[1, 0], name="turn")
    embed = graphs.node("Gather", [turn.outputs[0] if turned_too else floats, ids], axis=int(turned_too), name="embed")
    nodes += [turn, embed]
    states = embed.outputs[0]
    if turned_too:
        back = graphs.node("Transpose", [states], perm=[1, 2, 0], name="back")
        nodes.append(back)
        states = back.outputs[0]
    states.name, states.dtype, states.shape = "states", ir.DataType.FLOAT, ir.Shape([1, "rows", HIDDEN])
    head = graphs.node("MatMul", [states, turn.outputs[0]], name="head")
    return graphs.model([ids], [*nodes, head], [graphs.logits_of(head, WIDTH), states])


@pytest.mark.parametrize("turned_too", [False, True], ids=["", "gather-behind-the-transpose"])
@pytest.mark.parametrize("quantized", [False, True], ids=["float", "int8"])
def test_a_tied_table_keeps_every_row_and_the_head_gets_its_own(graphs, quantized, turned_too):
    trimmed = tied(graphs, quantized=quantized, turned_too=turned_too)
    trim_head(trimmed, KEPT)
    full = tied(graphs, quantized=quantized, turned_too=turned_too)
    assert np.array_equal(graphs.run(trimmed, IDS, "states"), graphs.run(full, IDS, "states"))
    assert np.array_equal(graphs.run(trimmed, IDS), graphs.run(full, IDS)[..., KEPT.target_ids])
    shapes = {name: tuple(value.const_value.shape) for name, value in trimmed.graph.initializers.items()}
    rows = {"table": (WIDTH, HIDDEN), "table.trimmed": (64, HIDDEN)}
    assert shapes == rows | ({"scales": (WIDTH,), "scales.trimmed": (64,)} if quantized else {})


def test_an_untied_head_leaves_no_step_of_the_old_one(graphs):
    trimmed = tied(graphs, quantized=False)
    trim_head(trimmed, KEPT)
    assert sorted(node.op_type for node in trimmed.graph) == ["Gather", "MatMul", "Transpose"]
    trimmed = tied(graphs, quantized=True)
    trim_head(trimmed, KEPT)
    assert sorted(node.op_type for node in trimmed.graph) == [
        *("DequantizeLinear", "DequantizeLinear", "Gather", "MatMul", "Transpose"),
    ]


# --- where the weight comes from -------------------------------------------------------------------------------------


def lone(graphs, nodes: list[ir.Node], weight: ir.Value, more_inputs: tuple = ()) -> ir.Model:
    states = graphs.value("hidden", [1, "rows", HIDDEN])
    head = graphs.node("MatMul", [states, weight], name="head")
    model = graphs.model([states, *more_inputs], [*nodes, head], [graphs.logits_of(head, WIDTH)])
    model.graph.opset_imports.update(OPSETS)
    return model


def test_a_weight_in_a_constant_node_is_cut(graphs):
    def full() -> ir.Model:
        node = ir.node("Constant", [], {"value": ir.tensor(np.ascontiguousarray(table().T))}, name="kept-in-a-node")
        return lone(graphs, [node], node.outputs[0])

    trimmed, feed = full(), graphs.states(HIDDEN, 3)
    trim_head(trimmed, KEPT)
    assert np.array_equal(graphs.run(trimmed, feed), graphs.run(full(), feed)[..., KEPT.target_ids])
    assert [node.op_type for node in trimmed.graph] == ["MatMul"]


def test_a_transpose_without_an_order_turns_a_matrix_round(graphs):
    def full() -> ir.Model:
        turn = graphs.node("Transpose", [graphs.constant("table", table())], name="turn")
        return lone(graphs, [turn], turn.outputs[0])

    trimmed, feed = full(), graphs.states(HIDDEN, 3)
    trim_head(trimmed, KEPT)
    assert np.array_equal(graphs.run(trimmed, feed), graphs.run(full(), feed)[..., KEPT.target_ids])


def test_a_weight_made_by_an_unknown_step_is_refused(graphs):
    made = graphs.node("Relu", [graphs.constant("weight", table().T)], name="sharpen")
    assert refused(lone(graphs, [made], made.outputs[0])) == (
        "LM head: node sharpen: expected a constant weight or one behind Cast, DequantizeLinear, Identity, Transpose, "
        "got Relu"
    )


def test_a_weight_that_is_turned_but_fed_is_refused(graphs):
    fed = graphs.value("fed", [WIDTH, HIDDEN])
    turn = graphs.node("Transpose", [fed], perm=[1, 0], name="turn")
    assert refused(lone(graphs, [turn], turn.outputs[0], (fed,))) == (
        "LM head: node turn: input 0 is not a constant weight"
    )


@pytest.mark.parametrize("op_type", ["Add", "Concat"])
def test_a_weight_made_of_two_is_refused(graphs, op_type):
    shape = (HIDDEN, WIDTH) if op_type == "Add" else (HIDDEN, WIDTH // 2)
    parts = [graphs.constant(f"part.{number}", np.ones(shape, np.float32)) for number in (1, 2)]
    joined = graphs.node(op_type, parts, name="join", **({"axis": 1} if op_type == "Concat" else {}))
    assert refused(lone(graphs, [joined], joined.outputs[0])) == (
        "LM head: node join: expected one weight, got part.1 and part.2 - merge them in the export"
    )


def test_a_matrix_of_more_dimensions_is_refused(graphs):
    def weight() -> ir.Value:
        return graphs.constant("weight", np.ones((1, HIDDEN, WIDTH), np.float32))

    assert (
        refused(lone(graphs, [], weight())) == f"LM head: node head: expected {WIDTH} rows, got (1, {HIDDEN}, {WIDTH})"
    )
    turn = graphs.node("Transpose", [weight()], perm=[0, 2, 1], name="turn")
    assert refused(lone(graphs, [turn], turn.outputs[0])) == (
        "LM head: node turn: expected a matrix, got perm [0, 2, 1]"
    )


# --- quantized weights -----------------------------------------------------------------------------------------------


def unpacked(graphs, scales: np.ndarray, **attributes) -> ir.Model:
    values = graphs.constant("values", np.ascontiguousarray(table(np.int8).T))
    unpack = graphs.node("DequantizeLinear", [values, graphs.constant("scales", scales)], name="unpack", **attributes)
    return lone(graphs, [unpack], unpack.outputs[0])


def test_scales_of_features_stay(graphs):
    scales, feed = np.linspace(0.01, 0.02, HIDDEN, dtype=np.float32), graphs.states(HIDDEN, 3)
    trimmed = unpacked(graphs, scales, axis=0)
    trim_head(trimmed, KEPT)
    assert sorted(trimmed.graph.initializers) == ["scales", "values.trimmed"]
    wanted = graphs.run(unpacked(graphs, scales, axis=0), feed)[..., KEPT.target_ids]
    np.testing.assert_allclose(graphs.run(trimmed, feed), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axis", [-1, 1])
def test_scales_of_tokens_are_cut_whichever_way_their_axis_is_told(graphs, axis):
    scales, feed = np.linspace(0.01, 0.02, WIDTH, dtype=np.float32), graphs.states(HIDDEN, 3)
    trimmed = unpacked(graphs, scales, axis=axis)
    trim_head(trimmed, KEPT)
    assert sorted(trimmed.graph.initializers) == ["scales.trimmed", "values.trimmed"]
    wanted = graphs.run(unpacked(graphs, scales, axis=axis), feed)[..., KEPT.target_ids]
    assert np.array_equal(graphs.run(trimmed, feed), wanted)


def test_blocks_across_tokens_are_refused(graphs):
    scales = np.ones((HIDDEN, WIDTH // 32), np.float32)
    assert refused(unpacked(graphs, scales, axis=1, block_size=32)) == (
        "LM head: node unpack: blocks must lie along the features, got axis 1 - quantize the head by blocks of each row"
    )
