"""Int8 by channel against numpy: weights within half a step, integer sums exact, so trimming keeps every bit."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.exporter.graph.head import head_row_size, trim_head
from edgedraft.exporter.graph.loading import ModelSize, model_size
from edgedraft.exporter.graph.packing import pack_products, quantize_channels
from edgedraft.exporter.graph.precisions import precision_named
from edgedraft.runtime.core.index_map import IndexMap

HIDDEN, WIDTH = 96, 512
DYNAMIC = precision_named("int8-dynamic")


def random_map(size: int, seed: int) -> IndexMap:
    ids = np.random.default_rng(seed).choice(WIDTH, size, replace=False)
    return IndexMap(target_ids=np.sort(ids).astype(np.int64), target_vocab_size=WIDTH)


def unsaturated(states: np.ndarray) -> np.ndarray:
    """States of which every second number is 0: without VNNI, onnxruntime adds two products in 16 bits."""
    return np.abs(states) * (np.arange(states.shape[-1]) % 2 == 0).astype(states.dtype)


def head(graphs, *, bias: bool = False, zero_points: str | None = None, seed: int = 0) -> ir.Model:
    """Hidden states times an int8 matrix; zero points may be one for all columns or one for each."""
    rng = np.random.default_rng(seed)
    inputs = [
        graphs.value("hidden", [1, "rows", HIDDEN]),
        graphs.constant("head.values", rng.integers(-127, 128, (HIDDEN, WIDTH), dtype=np.int8)),
        graphs.constant("head.scales", rng.uniform(0.01, 0.02, WIDTH).astype(np.float32)),
        None,
        graphs.constant("head.bias", rng.normal(size=WIDTH).astype(np.float32)) if bias else None,
    ]
    if zero_points is not None:
        points = np.array(3, np.int8) if zero_points == "one" else rng.integers(-9, 9, WIDTH, dtype=np.int8)
        inputs[3] = graphs.constant("head.zero_points", points)
    while inputs[-1] is None:
        inputs.pop()
    product = ir.node("DynamicQuantizeMatMul", inputs, name="head", domain="com.microsoft")
    return graphs.model([inputs[0]], [product], [graphs.logits_of(product, WIDTH)])


# --- quantizing ------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 9999), features=st.integers(1, 200), channels=st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_no_weight_moves_more_than_half_a_step(seed, features, channels):
    weight = np.random.default_rng(seed).normal(size=(features, channels)).astype(np.float32)
    values, scales = quantize_channels(weight)
    assert (values.dtype, values.shape, scales.shape) == (np.int8, weight.shape, (channels,))
    assert np.all(np.abs(values) <= 127)
    assert np.all(np.abs(values * scales - weight) <= scales * 0.5001)


def test_a_channel_of_zeros_stays_zero():
    values, scales = quantize_channels(np.zeros((4, 3), dtype=np.float32))
    assert not values.any()
    assert np.array_equal(scales, np.ones(3, dtype=np.float32))


def test_a_packed_product_is_the_float_one_up_to_its_steps(graphs):
    model = graphs.plain(HIDDEN, WIDTH)
    pack_products(model, DYNAMIC)
    assert [node.op_type for node in model.graph] == ["DynamicQuantizeMatMul"]
    assert sorted(model.graph.initializers) == ["head.weight.scales", "head.weight.values"]
    feed = {name: unsaturated(states) for name, states in graphs.states(HIDDEN, 5).items()}
    wanted, got = graphs.run(graphs.plain(HIDDEN, WIDTH), feed), graphs.run(model, feed)
    assert np.abs(got - wanted).max() < 0.03 * np.abs(wanted).max()


# --- trimming --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("zero_points", [None, "one", "each"])
@pytest.mark.parametrize("size", [1, 64, 447, WIDTH])
def test_kept_logits_are_equal_bit_for_bit_at_any_size(graphs, bias, zero_points, size):
    index_map = random_map(size, seed=size)
    trimmed = head(graphs, bias=bias, zero_points=zero_points)
    trim_head(trimmed, index_map)
    full, small = (graphs.session(model) for model in (head(graphs, bias=bias, zero_points=zero_points), trimmed))
    for rows in (1, 2, 3, 8, 17):
        feed = graphs.states(HIDDEN, rows, seed=size)
        expected = full.run(["logits"], feed)[0][..., index_map.target_ids]
        assert np.array_equal(small.run(["logits"], feed)[0], expected)


def test_a_dropped_row_saves_its_weights_and_all_its_bytes(graphs):
    model = head(graphs, bias=True)
    assert model_size(model) == ModelSize(parameters=HIDDEN * WIDTH, weight_bytes=(HIDDEN + 8) * WIDTH)
    assert head_row_size(model) == ModelSize(parameters=HIDDEN, weight_bytes=HIDDEN + 8)
    trim_head(model, random_map(128, seed=0))
    assert model_size(model) == ModelSize(parameters=HIDDEN * 128, weight_bytes=(HIDDEN + 8) * 128)
    assert sorted(model.graph.initializers) == ["head.bias.trimmed", "head.scales.trimmed", "head.values.trimmed"]


def test_the_projection_out_of_the_feed_forward_stays_in_blocks(graphs):
    model = graphs.plain(HIDDEN, WIDTH)
    for node in model.graph:
        node.name = "/model/layers.0/mlp/down_proj/MatMul"
    pack_products(model, DYNAMIC)
    (product,) = model.graph
    assert (product.op_type, product.attributes["bits"].as_int()) == ("MatMulNBits", 8)
