"""What a product must be to be cut: each of its constants has a number for every token, or one for all."""

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.heads.tail import find_tail
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.index_map import IndexMap
from tests.exporter.graph.heads.matrix import random_map
from tests.exporter.graph.heads.shapes import lone_head

HIDDEN, WIDTH = 128, 256


def refused(model: ir.Model) -> str:
    with pytest.raises(EdgedraftError) as error:
        trim_head(model, IndexMap.identity(WIDTH))
    return str(error.value)


def gemm(graphs, bias: np.ndarray | None) -> ir.Model:
    states = graphs.value("hidden", ["rows", HIDDEN])
    weight = graphs.constant("weight", np.random.default_rng(0).normal(size=(HIDDEN, WIDTH)).astype(np.float32))
    inputs = [states, weight] if bias is None else [states, weight, graphs.constant("bias", bias)]
    head = graphs.node("Gemm", inputs, name="head")
    model = graphs.model([states], [head], [graphs.logits_of(head, WIDTH)])
    model.graph.outputs[0].shape = ir.Shape(["rows", WIDTH])
    return model


BIASES = {
    "none": None,
    "one": np.array(2, np.float32),
    "one of each token": np.linspace(0, 1, WIDTH, dtype=np.float32),
    "a row": np.linspace(0, 1, WIDTH, dtype=np.float32)[None],
    "a column": np.ones((3, 1), np.float32),
}


@pytest.mark.parametrize("bias", BIASES.values(), ids=BIASES)
def test_the_bias_of_a_gemm_is_cut_where_it_tells_tokens_apart(graphs, bias):
    kept = random_map(64, WIDTH, seed=1)
    trimmed, feed = gemm(graphs, bias), {"hidden": graphs.states(HIDDEN, 3)["hidden"][0]}
    trim_head(trimmed, kept)
    assert np.array_equal(graphs.run(trimmed, feed), graphs.run(gemm(graphs, bias), feed)[:, kept.target_ids])
    sizes = [value.const_value.size for name, value in trimmed.graph.initializers.items() if "bias" in name]
    assert sizes == ([] if bias is None else [64 if bias.size == WIDTH else bias.size])


def test_a_bias_of_another_length_is_refused(graphs):
    assert refused(gemm(graphs, np.ones(WIDTH - 1, np.float32))) == (
        f"LM head: node head: input 2: expected 1 or {WIDTH} numbers, got {WIDTH - 1}"
    )


def test_two_constant_matrices_are_refused(graphs):
    states = graphs.value("hidden", [1, "rows", HIDDEN])
    one = graphs.constant("left", np.ones((8, HIDDEN), np.float32))
    other = graphs.constant("right", np.ones((HIDDEN, WIDTH), np.float32))
    head = graphs.node("MatMul", [one, other], name="head")
    assert refused(graphs.model([states], [head], [graphs.logits_of(head, WIDTH)])) == (
        "LM head: node head: expected one weight, got left and right - merge them in the export"
    )


def test_weights_packed_for_one_gpu_are_refused():
    model = lone_head("MatMulNBits 4, block 32", HIDDEN, WIDTH)
    find_tail(model).product.attributes["weight_prepacked"] = ir.AttrInt64("weight_prepacked", 1)
    assert refused(model) == (
        "LM head: node head/MatMulNBits.0: weights packed for one GPU cannot be cut - export them in the common layout"
    )


def test_scales_that_do_not_fit_the_tokens_are_refused(graphs):
    model = lone_head("MatMulNBits 4, block 32", HIDDEN, WIDTH)
    scales = graphs.constant("few", np.ones((WIDTH - 1, 4), np.float32))
    model.graph.register_initializer(scales)
    find_tail(model).product.replace_input_with(2, scales)
    assert refused(model) == (
        f"LM head: node head/MatMulNBits.0: input 2: expected a row for each of {WIDTH} tokens, got [{WIDTH - 1}, 4]"
    )


@pytest.mark.parametrize("points", [np.array(0, np.int8), np.zeros(1, np.int8), np.zeros(WIDTH, np.int8)])
def test_zero_points_of_integer_products_may_be_one_or_one_a_token(graphs, points):
    def full() -> ir.Model:
        model = lone_head("MatMulInteger", HIDDEN, WIDTH)
        model.graph.register_initializer(graphs.constant("points", points))
        find_tail(model).product.replace_input_with(3, model.graph.initializers["points"])
        return model

    kept, feed = random_map(99, WIDTH, seed=1), graphs.states(HIDDEN, 3)
    trimmed = full()
    trim_head(trimmed, kept)
    assert np.array_equal(graphs.run(trimmed, feed), graphs.run(full(), feed)[..., kept.target_ids])
