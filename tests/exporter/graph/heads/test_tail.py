"""The way from the logits back to their product: one product, known steps, no other reader; the rest is refused."""

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.head import trim_head
from edgedraft.exporter.graph.heads.tail import find_tail
from edgedraft.exporter.graph.loading import LOGITS
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.index_map import IndexMap
from tests.exporter.graph.heads.matrix import random_map

HIDDEN, WIDTH = 64, 256
KEPT = random_map(64, WIDTH, seed=0)


class Tails:
    """Builds graphs from hidden states: products by a weight, steps after them, logits last."""

    def __init__(self, graphs) -> None:
        self.graphs = graphs
        self.states = graphs.value("hidden", [1, "rows", HIDDEN])
        self.nodes: list[ir.Node] = []

    def constant(self, name: str, array) -> ir.Value:
        return self.graphs.constant(name, np.asarray(array, np.float32))

    def step(self, op_type: str, *inputs: ir.Value, outputs: int = 1, **attributes) -> ir.Value:
        name = f"{op_type.lower()}.{len(self.nodes)}"
        self.nodes.append(ir.node(op_type, inputs, attributes, name=name, num_outputs=outputs))
        return self.nodes[-1].outputs[0]

    def product(self, name: str = "weight", width: int = WIDTH) -> ir.Value:
        weight = np.random.default_rng(len(self.nodes)).normal(size=(HIDDEN, width))
        return self.step("MatMul", self.states, self.constant(name, weight))

    def model(self, logits: ir.Value, *others: ir.Value) -> ir.Model:
        self.graphs.logits_of(logits.producer(), WIDTH)
        for number, other in enumerate(others):
            other.name, other.dtype = f"other.{number}", ir.DataType.FLOAT
        return self.graphs.model([self.states], self.nodes, [logits, *others])


@pytest.fixture
def tails(graphs) -> Tails:
    return Tails(graphs)


def refused(model: ir.Model) -> str:
    with pytest.raises(EdgedraftError) as error:
        trim_head(model, IndexMap.identity(WIDTH))
    return str(error.value)


# --- what is followed ------------------------------------------------------------------------------------------------


def test_scores_that_meet_themselves_again_are_one_head(graphs):
    def full() -> ir.Model:
        tails = Tails(graphs)
        scores = tails.product()
        return tails.model(tails.step("Mul", scores, tails.step("Tanh", scores)))

    trimmed, feed = full(), graphs.states(HIDDEN, 3)
    trim_head(trimmed, KEPT)
    assert np.array_equal(graphs.run(trimmed, feed), graphs.run(full(), feed)[..., KEPT.target_ids])


def test_a_bias_that_is_computed_from_constants_is_cut_for_the_head_alone(graphs):
    """The other reader of the halved bias, an output, still gets all of it."""

    def full() -> ir.Model:
        tails = Tails(graphs)
        bias = tails.step("Div", tails.constant("bias", np.linspace(-1, 1, WIDTH)), tails.constant("two", 2))
        logits = tails.step("Sub", tails.product(), bias)
        return tails.model(logits, tails.step("Neg", bias))

    trimmed, feed = full(), graphs.states(HIDDEN, 3)
    trim_head(trimmed, KEPT)
    assert np.array_equal(graphs.run(trimmed, feed), graphs.run(full(), feed)[..., KEPT.target_ids])
    assert np.array_equal(graphs.run(trimmed, feed, "other.0"), graphs.run(full(), feed, "other.0"))
    assert sorted(trimmed.graph.initializers) == ["bias", "bias.trimmed", "two", "weight.trimmed"]


def test_a_constant_that_two_steps_read_is_cut_for_both(graphs):
    def full() -> ir.Model:
        tails = Tails(graphs)
        bias = tails.constant("bias", np.linspace(-1, 1, WIDTH))
        return tails.model(tails.step("Mul", tails.step("Add", tails.product(), bias), bias))

    trimmed, feed = full(), graphs.states(HIDDEN, 3)
    trim_head(trimmed, KEPT)
    assert np.array_equal(graphs.run(trimmed, feed), graphs.run(full(), feed)[..., KEPT.target_ids])
    assert all(value.const_value.shape[-1] == 64 for value in trimmed.graph.initializers.values())


def test_a_number_that_the_graph_computes_is_left_alone(graphs):
    """One temperature for each position."""

    def full() -> ir.Model:
        tails = Tails(graphs)
        warmth = tails.step("ReduceMax", tails.states, keepdims=1, axes=[2])
        warmth.shape = ir.Shape([1, "rows", 1])
        model = tails.model(tails.step("Mul", tails.product(), warmth))
        model.graph.opset_imports[""] = 17
        model.ir_version = 8
        return model

    trimmed, feed = full(), graphs.states(HIDDEN, 3)
    trim_head(trimmed, KEPT)
    assert np.array_equal(graphs.run(trimmed, feed), graphs.run(full(), feed)[..., KEPT.target_ids])


def test_the_tail_is_the_product_and_the_steps_that_its_scores_pass(tails):
    scale = tails.step("Neg", tails.constant("scale", 2))
    model = tails.model(tails.step("Tanh", tails.step("Mul", scale, tails.product())))
    tail = find_tail(model)
    assert (tail.product.name, sorted(step.name for step in tail.steps)) == ("matmul.1", ["mul.2", "tanh.3"])


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_head_fed_by_two_weights_is_refused(tails):
    joined = tails.step("Add", tails.product("left"), tails.product("right"))
    assert refused(tails.model(tails.step("Tanh", joined))) == (
        "LM head: node tanh.3: expected one weight, got left and right - merge them in the export"
    )


def test_a_head_of_two_halves_is_refused(tails):
    halves = tails.product("left", WIDTH // 2), tails.product("right", WIDTH // 2)
    assert refused(tails.model(tails.step("Concat", *halves, axis=-1))) == (
        "LM head: node concat.2: expected one weight, got left and right - merge them in the export"
    )


def test_the_unknown_step_is_named_however_deep_it_lies(tails):
    deep = tails.step("Softplus", tails.product())
    capped = tails.step("Tanh", tails.step("Div", deep, tails.constant("cap", 30)))
    assert refused(tails.model(capped)) == (
        "LM head: node softplus.1: expected one of DynamicQuantizeMatMul, Gemm, MatMul, MatMulInteger, MatMulNBits, "
        "or elementwise steps after one, got Softplus - export the drafter with one of these heads"
    )


def test_steps_without_a_product_are_refused(tails):
    model = tails.model(tails.step("Tanh", tails.step("Neg", tails.states)))
    assert refused(model) == "LM head: node neg.0: expected a product with a constant weight behind it"


def test_a_computed_number_for_each_token_is_refused(tails):
    wide = tails.step("Softplus", tails.constant("bias", np.ones(WIDTH)))
    wide.name = "wide"
    assert refused(tails.model(tails.step("Add", tails.product(), wide))) == (
        "LM head: node add.2: input 1: expected a constant or one number, got wide"
    )


def test_a_constant_of_another_length_is_refused(tails):
    model = tails.model(tails.step("Add", tails.product(), tails.constant("bias", np.ones(3))))
    assert refused(model) == f"LM head: node add.1: input 1: expected 1 or {WIDTH} numbers, got 3"


def test_another_reader_of_the_logits_is_refused(tails):
    logits = tails.product()
    assert refused(tails.model(logits, tails.step("Softmax", logits, axis=-1))) == (
        f"LM head: node softmax.1: reads {LOGITS}, which is to be cut - export the drafter without it"
    )


def test_scores_that_are_an_output_too_are_refused(tails):
    scores = tails.product()
    model = tails.model(tails.step("Tanh", scores), scores)
    assert refused(model) == "graph output other.0: expected logits alone from the head"
