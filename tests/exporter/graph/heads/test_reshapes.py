"""Steps that put axes in and out: they must leave every logit in its row, and a shape that names the width is told."""

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.head import expand_logits, trim_head
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.index_map import IndexMap
from tests.exporter.graph.heads.matrix import random_map
from tests.scattering import scattered

HIDDEN, WIDTH = 64, 256
KEPT = random_map(64, WIDTH, seed=0)
SCORES = (3, 1, WIDTH)


def reshaped(graphs, op_type: str, told: list[int], shape: list, *, as_attribute: bool = False) -> ir.Model:
    """Hidden states (3, 1, hidden) → MatMul → the step, whose logits have ``shape``."""
    states = graphs.value("hidden", [3, 1, HIDDEN])
    weight = np.random.default_rng(0).normal(size=(HIDDEN, WIDTH)).astype(np.float32)
    product = graphs.node("MatMul", [states, graphs.constant("weight", weight)], name="head")
    scores = product.outputs[0]
    if as_attribute:
        step = graphs.node(op_type, [scores], name="step", axes=told)
    else:
        step = graphs.node(op_type, [scores, graphs.constant("told", np.array(told, np.int64))], name="step")
    model = graphs.model([states], [product, step], [graphs.logits_of(step, WIDTH)])
    model.graph.outputs[0].shape = ir.Shape(shape)
    if as_attribute:
        model.graph.opset_imports[""], model.ir_version = 12, 7
    return model


def states() -> dict[str, np.ndarray]:
    return {"hidden": np.random.default_rng(1).normal(size=(3, 1, HIDDEN)).astype(np.float32)}


CASES = {
    "Reshape to the width": ("Reshape", [1, 3, WIDTH], [1, 3, WIDTH], False),
    "Reshape to the rest": ("Reshape", [1, 3, -1], [1, 3, WIDTH], False),
    "Reshape to rows": ("Reshape", [-1, WIDTH], [3, WIDTH], False),
    "Unsqueeze": ("Unsqueeze", [0], [1, 3, 1, WIDTH], False),
    "Squeeze": ("Squeeze", [1], [3, WIDTH], False),
    "Squeeze as it was": ("Squeeze", [1], [3, WIDTH], True),
}


@pytest.mark.parametrize(("op_type", "told", "shape", "as_attribute"), CASES.values(), ids=CASES)
def test_rows_that_stay_rows_are_cut_in_both_layouts(graphs, op_type, told, shape, as_attribute):
    def full() -> ir.Model:
        return reshaped(graphs, op_type, told, shape, as_attribute=as_attribute)

    trimmed = full()
    trim_head(trimmed, KEPT)
    wanted = graphs.run(full(), states())
    assert np.array_equal(graphs.run(trimmed, states()), wanted[..., KEPT.target_ids])
    expand_logits(trimmed, KEPT)
    assert np.array_equal(graphs.run(trimmed, states()), scattered(KEPT, wanted[..., KEPT.target_ids]))


def refused(model: ir.Model) -> str:
    with pytest.raises(EdgedraftError) as error:
        trim_head(model, IndexMap.identity(WIDTH))
    return str(error.value)


def test_a_shape_that_ends_otherwise_is_refused(graphs):
    model = reshaped(graphs, "Reshape", [3, WIDTH, 1], [3, WIDTH])
    assert refused(model) == f"LM head: node step: expected a shape that ends in {WIDTH}, got [3, {WIDTH}, 1]"


def test_a_shape_that_is_computed_is_refused(graphs):
    model = reshaped(graphs, "Reshape", [1, 3, WIDTH], [1, 3, WIDTH])
    shape = graphs.value("shape", [3], ir.DataType.INT64)
    model.graph.inputs.append(shape)
    next(node for node in model.graph if node.name == "step").replace_input_with(1, shape)
    assert refused(model) == f"LM head: node step: expected a shape that ends in {WIDTH}, got one that is computed"


@pytest.mark.parametrize("axis", [-1, 2, 3])
def test_an_axis_that_may_stand_behind_the_tokens_is_refused(graphs, axis):
    model = reshaped(graphs, "Unsqueeze", [axis], [3, WIDTH])
    assert refused(model) == f"LM head: node step: expected axes before the last, got [{axis}]"
