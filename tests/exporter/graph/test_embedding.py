"""The packed token table against numpy: every row is there, within half a step of the float one, tied or trimmed."""

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.blocks import BlockScheme, dequantize, quantize
from edgedraft.exporter.graph.embedding import find_embedding, pack_embedding
from edgedraft.exporter.graph.head import expand_logits, trim_head
from edgedraft.exporter.graph.loading import load_graph, model_size, save_graph
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import PRECISIONS, precision_named
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.index_map import IndexMap
from tests.scattering import scattered

HIDDEN, WIDTH = 160, 192
SCHEMES = {
    f"int{bits}-{size}-{'symmetric' if symmetric else 'search'}": BlockScheme(
        bits=bits, block_size=size, symmetric=symmetric, search=not symmetric
    )
    for bits in (4, 8)
    for size in (32, 128)
    for symmetric in (True, False)
}
EVERY_TOKEN = {"input_ids": np.arange(WIDTH, dtype=np.int64)[None]}
KEPT = IndexMap(target_ids=np.arange(0, WIDTH, 3), target_vocab_size=WIDTH)


@pytest.fixture(params=list(SCHEMES.values()), ids=list(SCHEMES))
def scheme(request) -> BlockScheme:
    return request.param


def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(WIDTH, HIDDEN)).astype(np.float32)


def decoder(graphs, *, tied: bool = False) -> ir.Model:
    """Ids → Gather → states, an output too → a head: a matrix of its own, or the table itself turned round."""
    ids = graphs.value("input_ids", [1, "rows"], ir.DataType.INT64)
    embedding = graphs.constant("embedding", table())
    gather = graphs.node("Gather", [embedding, ids], name="embed", axis=0)
    states = gather.outputs[0]
    states.name, states.dtype, states.shape = "states", ir.DataType.FLOAT, ir.Shape([1, "rows", HIDDEN])
    nodes = [gather]
    if tied:
        turn = graphs.node("Transpose", [embedding], perm=[1, 0])
        nodes.append(turn)
        weight = turn.outputs[0]
    else:
        weight = graphs.constant("head.weight", np.ascontiguousarray(table().T))
    head = graphs.node("MatMul", [states, weight], name="head")
    return graphs.model([ids], [*nodes, head], [graphs.logits_of(head, WIDTH), states])


def test_every_row_is_what_numpy_says(graphs, scheme):
    packed = decoder(graphs)
    pack_embedding(packed, scheme)
    assert find_reader(packed).name == "embed"
    states = graphs.run(packed, EVERY_TOKEN, "states")[0]
    np.testing.assert_allclose(states, dequantize(quantize(table(), scheme), scheme, HIDDEN), rtol=1e-6, atol=1e-7)


def find_reader(model: ir.Model) -> ir.Node:
    return next(node for node in model.graph if node.op_type == "GatherBlockQuantized")


@pytest.mark.parametrize("bits", [4, 8])
def test_no_number_of_a_row_moves_more_than_a_step(graphs, bits):
    packed = decoder(graphs)
    pack_embedding(packed, BlockScheme(bits=bits, block_size=32, symmetric=True, search=False))
    states = graphs.run(packed, EVERY_TOKEN, "states")[0]
    steps = np.repeat(np.abs(table().reshape(WIDTH, -1, 32)).max(axis=2) / (1 << (bits - 1)), 32, axis=1)
    assert np.all(np.abs(states - table()) <= steps * 1.001)
    near = np.abs(table()) < steps * ((1 << (bits - 1)) - 1)  # the far end of a block has one code less
    assert np.all(np.abs(states - table())[near] <= steps[near] * 0.501)


def test_the_float_table_is_gone_and_a_step_multiplies_as_much_as_before(graphs, scheme):
    model = decoder(graphs)
    before = model_size(model)
    pack_embedding(model, scheme)
    assert "embedding" not in model.graph.initializers
    assert model_size(model) == before


def test_a_tied_head_goes_on_reading_the_float_table(graphs, scheme):
    model = decoder(graphs, tied=True)
    pack_embedding(model, scheme)
    assert "embedding" in model.graph.initializers
    states = graphs.run(model, EVERY_TOKEN, "states")
    np.testing.assert_allclose(graphs.run(model, EVERY_TOKEN), states @ table().T, rtol=1e-4, atol=1e-4)


def from_the_head(graphs) -> ir.Model:
    """As the model builder ties: the head's matrix is the constant, and the Gather reads it turned round."""
    ids = graphs.value("input_ids", [1, "rows"], ir.DataType.INT64)
    weight = graphs.constant("head.weight", np.ascontiguousarray(table().T))
    turn = graphs.node("Transpose", [weight], name="turn", perm=[1, 0])
    gather = graphs.node("Gather", [turn.outputs[0], ids], name="embed", axis=0)
    states = gather.outputs[0]
    states.name, states.dtype, states.shape = "states", ir.DataType.FLOAT, ir.Shape([1, "rows", HIDDEN])
    head = graphs.node("MatMul", [states, weight], name="head")
    return graphs.model([ids], [turn, gather, head], [graphs.logits_of(head, WIDTH), states])


def test_a_table_that_is_the_head_turned_round_gets_rows_of_its_own(graphs, scheme, tmp_path):
    save_graph(from_the_head(graphs), tmp_path / "tied.onnx", "tied.data")
    model = load_graph(tmp_path / "tied.onnx")
    pack_embedding(model, scheme)
    assert [node.op_type for node in model.graph] == ["GatherBlockQuantized", "MatMul"]
    own = decoder(graphs)
    pack_embedding(own, scheme)
    model = ir.external_data.load_to_model(model)
    for output in ("states", "logits"):
        assert np.array_equal(graphs.run(model, EVERY_TOKEN, output), graphs.run(own, EVERY_TOKEN, output))


@pytest.mark.parametrize("name", [name for name in PRECISIONS if name != "fp32"])
def test_both_ends_of_a_tied_model_are_packed(graphs, name):
    tied, own = from_the_head(graphs), decoder(graphs)
    for model in (tied, own):
        pack_model(model, precision_named(name))
    assert "head.weight" not in tied.graph.initializers
    assert np.array_equal(graphs.run(tied, EVERY_TOKEN), graphs.run(own, EVERY_TOKEN))


def test_the_embedding_keeps_every_row_when_the_head_is_trimmed_and_spread(graphs, scheme, tmp_path):
    model = decoder(graphs)
    pack_embedding(model, scheme)
    save_graph(model, tmp_path / "full.onnx", "full.data")
    trimmed = load_graph(tmp_path / "full.onnx")
    trim_head(trimmed, KEPT)
    save_graph(trimmed, tmp_path / "trimmed.onnx", "trimmed.data")
    expanded = load_graph(tmp_path / "trimmed.onnx")
    expand_logits(expanded, KEPT)
    ir.save(expanded, tmp_path / "expanded.onnx")
    full, reduced, spread = (
        graphs.run(tmp_path / f"{name}.onnx", EVERY_TOKEN) for name in ("full", "trimmed", "expanded")
    )
    assert np.array_equal(reduced, full[..., KEPT.target_ids])
    assert np.array_equal(spread[0], scattered(KEPT, reduced[0]))
    for name in ("trimmed", "expanded"):
        states = graphs.run(tmp_path / f"{name}.onnx", EVERY_TOKEN, "states")
        assert np.array_equal(states, graphs.run(tmp_path / "full.onnx", EVERY_TOKEN, "states"))


def test_a_model_without_an_embedding_is_refused(graphs):
    with pytest.raises(EdgedraftError) as error:
        find_embedding(graphs.plain(HIDDEN, WIDTH))
    assert str(error.value) == (
        "embedding: expected a Gather from a constant table by input_ids, got none"
        " - export the model with an embedding of its own"
    )


def test_what_reads_the_ids_instead_is_named(graphs):
    ids = graphs.value("input_ids", [1, "rows"], ir.DataType.INT64)
    shape, cast = graphs.node("Shape", [ids]), graphs.node("Cast", [ids], to=ir.DataType.FLOAT.value)
    model = graphs.model([ids], [shape, cast], [graphs.logits_of(cast, 1)])
    with pytest.raises(EdgedraftError, match="got Cast, Shape - "):
        find_embedding(model)
