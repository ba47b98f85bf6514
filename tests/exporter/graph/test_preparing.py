"""Preparing changes how products and tables are read, never a value: CPU results tell."""

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.blocks import Blocks, BlockScheme, dequantize
from edgedraft.exporter.graph.packing import pack_embedding
from edgedraft.exporter.graph.preparing import even_blocks, prepare, set_accuracy_level
from edgedraft.exporter.graph.providers import PROVIDERS
from edgedraft.runtime.base.errors import EdgedraftError

WIDTH, WEIGHTS = 96, ("values", "scales")
SEARCHED, PLAIN = (BlockScheme(bits=4, block_size=32, symmetric=plain, search=not plain) for plain in (False, True))
EVERY_TOKEN = {"input_ids": np.arange(WIDTH, dtype=np.int64)[None]}


def embedding(graphs, features: int, scheme: BlockScheme = SEARCHED) -> ir.Model:
    """Ids to rows of a packed table, which are the logits."""
    table = np.random.default_rng(features).normal(size=(WIDTH, features)).astype(np.float32)
    ids = graphs.value("input_ids", [1, "rows"], ir.DataType.INT64)
    gather = graphs.node("Gather", [graphs.constant("table", table), ids], name="embed", axis=0)
    model = graphs.model([ids], [gather], [graphs.logits_of(gather, features)])
    pack_embedding(model, scheme)
    return model


def reader(model: ir.Model) -> ir.Node:
    return next(node for node in model.graph if node.op_type == "GatherBlockQuantized")


def level(model: ir.Model) -> int:
    return model.graph[0].attributes["accuracy_level"].as_int()


@pytest.mark.parametrize("scheme", [SEARCHED, PLAIN, BlockScheme(bits=8, block_size=32, symmetric=True, search=False)])
@pytest.mark.parametrize("features", [96, 128, 152])
@pytest.mark.parametrize("name", ["cpu", "wasm"])
def test_a_table_read_by_plain_operators_has_the_same_rows(graphs, name, features, scheme):
    """96 features are an odd number of blocks; 152 are 5, the last not full."""
    model = embedding(graphs, features, scheme)
    wanted = graphs.run(model, EVERY_TOKEN)
    assert prepare(model, PROVIDERS[name])
    assert {node.domain for node in model.graph} == {""}
    np.testing.assert_array_equal(graphs.run(model, EVERY_TOKEN), wanted)
    assert not prepare(model, PROVIDERS[name])


def test_a_table_of_another_form_stays_for_the_cpu_and_is_refused_for_webassembly(graphs):
    """Models of other tools: here the scales are of half precision."""
    model = embedding(graphs, 96)
    scales = model.graph.initializers["table.scales"].const_value.numpy()
    half = graphs.constant("half", scales.astype(np.float16))
    model.graph.register_initializer(half)
    reader(model).replace_input_with(2, half)
    assert not prepare(model, PROVIDERS["cpu"])
    with pytest.raises(EdgedraftError) as error:
        prepare(model, PROVIDERS["wasm"])
    assert str(error.value) == (
        "node embed: wasm reads packed tables of float scales with rows along the first axis - "
        "export for another provider, or with a float token table"
    )


def test_a_drafter_that_webgpu_would_leave_to_the_cpu_is_prepared_for_webassembly_beside_it(graphs):
    model = embedding(graphs, 96)
    weight, scale = graphs.constant("weight", np.ones((96, 8), np.int8)), graphs.constant("scale", np.float32([0.5]))
    for value in (weight, scale):
        model.graph.register_initializer(value)
    inputs = [model.graph.outputs[0], weight, scale]
    model.graph.append(ir.node("DynamicQuantizeMatMul", inputs, domain="com.microsoft"))
    wanted = graphs.run(model, EVERY_TOKEN)
    assert prepare(model, PROVIDERS["webgpu"])
    assert [node.op_type for node in model.graph if node.domain] == ["DynamicQuantizeMatMul"]
    np.testing.assert_array_equal(graphs.run(model, EVERY_TOKEN), wanted)
    assert not prepare(model, PROVIDERS["webgpu"])


def test_browsers_multiply_in_float_and_a_cpu_as_packed(graphs):
    for name, wanted in (("webgpu", 1), ("wasm", 1), ("cpu", 4), ("cuda", 4)):
        model = graphs.packed(64, 128, level=4)
        assert prepare(model, PROVIDERS[name]) == (wanted != 4)
        assert level(model) == wanted


def test_a_product_without_a_level_gets_one(graphs):
    node = graphs.packed(64, 128).graph[0]
    del node.attributes["accuracy_level"]
    assert set_accuracy_level(node, 1)
    assert not set_accuracy_level(node, 1)
    assert node.attributes["accuracy_level"].as_int() == 1


def test_float_products_are_those_of_numpy_and_rounded_ones_are_not(graphs):
    found = {}
    for name in ("cpu", "webgpu"):
        model = graphs.packed(64, 128, level=4)
        prepare(model, PROVIDERS[name])
        states = graphs.states(64, 8)
        found[name] = graphs.run(model, states)[0]
    values, scales = (graphs.packed(64, 128).graph.initializers[f"head.{part}"].const_value.numpy() for part in WEIGHTS)
    weights = dequantize(Blocks(values=values, scales=scales, zero_points=None), PLAIN, 64)
    wanted = states["hidden"][0] @ weights.T
    np.testing.assert_allclose(found["webgpu"], wanted, atol=1e-5)
    assert np.abs(found["cpu"] - wanted).max() > 1e-3


@pytest.mark.parametrize(("features", "block"), [(32, 16), (96, 16), (160, 16), (128, 32), (144, 32), (152, 32)])
def test_rows_get_an_even_number_of_blocks_and_keep_every_value(graphs, features, block):
    """152 features are 5 blocks of 32, the last not full; 10 of 16 are even; 144 are 5 of 32, or 9 of 16."""
    model = embedding(graphs, features)
    before = graphs.run(model, EVERY_TOKEN)
    odd = -(-features // 32) % 2 == 1
    if features == 144:
        with pytest.raises(EdgedraftError) as error:
            even_blocks(reader(model))
        assert str(error.value) == (
            "node embed: rows of 9 blocks of 16 cannot be cut to an even number - "
            "export for another provider, or with a float token table"
        )
        return
    assert even_blocks(reader(model)) == odd
    assert reader(model).attributes["block_size"].as_int() == (16 if odd else block)
    scales, points = (reader(model).inputs[position].const_value.shape for position in (2, 3))
    assert scales[1] == 2 * points[1]
    assert np.array_equal(graphs.run(model, EVERY_TOKEN), before)
    assert not even_blocks(reader(model))


def test_only_tables_with_zero_points_of_half_a_byte_are_touched(graphs):
    for scheme in (PLAIN, BlockScheme(bits=8, block_size=32, symmetric=False, search=True)):
        assert not even_blocks(reader(embedding(graphs, 96, scheme)))
    assert not prepare(embedding(graphs, 96), PROVIDERS["cuda"])


def test_the_old_constants_are_gone_unless_a_tied_head_reads_them(graphs):
    model = embedding(graphs, 96)
    prepare(model, PROVIDERS["webgpu"])
    assert sorted(model.graph.initializers) == ["table.scales.even", "table.values", "table.zero_points.even"]
    tied = embedding(graphs, 96)
    scales = tied.graph.initializers["table.scales"]
    scales.dtype, scales.shape = ir.DataType.FLOAT, scales.const_value.shape
    tied.graph.append(graphs.node("Identity", [scales]))
    prepare(tied, PROVIDERS["webgpu"])
    assert sorted(tied.graph.initializers) == [
        "table.scales",
        "table.scales.even",
        "table.values",
        "table.zero_points.even",
    ]
