"""The law of heads on whole models: every family, in every precision, as its exporter builds the head."""

import numpy as np
import pytest

from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.heads.tail import find_tail
from edgedraft.exporter.graph.loading import load_graph, vocabulary_width
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import precision_named
from tests.exporter.families import FAMILIES, GPT2, HIDDEN, VOCAB, build, feed, open_family
from tests.exporter.graph.heads.matrix import difference, differences, random_map
from tests.exporter.graph.heads.shapes import swap_head

KEPT = random_map(192, VOCAB, seed=0)
EQUAL = {"reduced": 0.0, "expanded": 0.0}
BUILT = [name for name in FAMILIES if name != GPT2]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("families")


def is_equal(make, graphs) -> bool:
    feeds = [feed(make(), rows) for rows in (1, 5)]
    return differences(make, KEPT, feeds, graphs.session) == EQUAL


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_as_it_was_built_keeps_every_bit(graphs, folder, family):
    assert is_equal(lambda: open_family(build(family, folder)), graphs)


@pytest.mark.parametrize("precision", ["fp16", "int4"])
@pytest.mark.parametrize("family", BUILT)
def test_a_head_in_the_builders_own_precisions_keeps_every_bit(graphs, folder, family, precision):
    assert is_equal(lambda: open_family(build(family, folder, precision)), graphs)


@pytest.mark.parametrize("precision", ["int4", "int8", "int8-dynamic"])
@pytest.mark.parametrize("family", BUILT)
def test_a_head_that_we_packed_keeps_every_bit(graphs, folder, family, precision):
    def packed():
        model = open_family(build(family, folder))
        pack_model(model, precision_named(precision))
        return model

    assert is_equal(packed, graphs)


@pytest.mark.parametrize("shape", ["Gemm", "MatMulInteger", "DequantizeLinear uint4 by block"])
@pytest.mark.parametrize("family", ["Gemma 2", "Phi 2", "Qwen 2"])
def test_a_head_of_another_shape_keeps_every_bit_in_half_precision(graphs, folder, family, shape):
    assert is_equal(lambda: swap_head(open_family(build(family, folder, "fp16")), shape, HIDDEN), graphs)


# --- what the families are here for ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "steps"),
    [("Llama", []), ("Gemma 2", ["Div", "Mul", "Tanh"]), ("Phi 2", ["Add"]), ("Granite", ["Mul"])],
)
def test_each_family_brings_its_own_steps(folder, family, steps):
    tail = find_tail(open_family(build(family, folder)))
    assert (tail.product.op_type, sorted(step.op_type for step in tail.steps)) == ("MatMul", steps)


def test_gpt2_is_traced_with_its_head_behind_a_transpose_of_the_embedding(folder):
    model = open_family(build(GPT2, folder))
    turned = find_tail(model).product.inputs[1].producer()
    assert turned.op_type == "Transpose"
    assert "Gather" in {node.op_type for node in turned.inputs[0].consumers()}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int4"])
def test_a_tied_embedding_stays_whole_and_the_head_gets_the_kept_rows_alone(graphs, folder, precision):
    """What the trimmed model holds more than before is 192 rows, not another vocabulary."""
    model = open_family(build("Qwen 3", folder, precision))
    before = stored_bytes(model)
    row = sum(value.const_value.nbytes for value in find_tail(model).product.inputs[1:] if value is not None) // VOCAB
    trim_head(model, KEPT)
    assert stored_bytes(model) - before == 192 * row
    full = open_family(build("Qwen 3", folder, precision))
    fed = feed(full, 5)
    states = [find_tail(each).product.inputs[0].name for each in (full, model)]
    assert states[0] == states[1]
    for each in (full, model):
        each.graph.outputs.append(find_tail(each).product.inputs[0])
    assert difference(graphs.run(full, fed, states[0]), graphs.run(model, fed, states[0])) == 0


def stored_bytes(model) -> int:
    return sum(value.const_value.nbytes for value in model.graph.initializers.values())


def test_a_family_with_its_weights_on_disk_is_trimmed_alike(graphs, folder):
    graph = build("SmolLM", folder)
    in_memory, on_disk = open_family(graph), load_graph(graph)
    for model in (in_memory, on_disk):
        trim_head(model, KEPT)
    names = {value.name for value in find_tail(in_memory).product.inputs[1:]}
    for name in names:
        one, other = (model.graph.initializers[name].const_value.numpy() for model in (in_memory, on_disk))
        assert np.array_equal(one, other)
    assert vocabulary_width(on_disk) == 192
