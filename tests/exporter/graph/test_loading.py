"""Reading graphs: weights that a step multiplies with count once, tables it looks up do not; errors name the file."""

import re

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.loading import (
    INLINE_BYTES,
    ModelSize,
    cache_bytes_per_token,
    drop_cache_windows,
    fix_cache_shapes,
    load_graph,
    model_size,
    output_named,
    save_graph,
    vocabulary_width,
)
from edgedraft.runtime.base.errors import EdgedraftError

HIDDEN, WIDTH = 64, 256

# --- model_size ------------------------------------------------------------------------------------------------------


def test_a_float_matrix_counts_its_elements(graphs):
    assert model_size(graphs.plain(HIDDEN, WIDTH)) == ModelSize(
        parameters=HIDDEN * WIDTH, weight_bytes=4 * HIDDEN * WIDTH
    )


@pytest.mark.parametrize("bits", [4, 8])
def test_a_packed_matrix_counts_its_weights_once_and_all_its_bytes(graphs, bits):
    blocks = WIDTH * HIDDEN // 32
    size = model_size(graphs.packed(HIDDEN, WIDTH, bits=bits))
    assert size == ModelSize(parameters=HIDDEN * WIDTH, weight_bytes=blocks * 4 * bits + 4 * blocks)
    with_points = model_size(graphs.packed(HIDDEN, WIDTH, bits=bits, zero_points=True, bias=True))
    points = WIDTH * -(-HIDDEN // 32 * bits // 8)
    assert with_points.parameters == HIDDEN * WIDTH
    assert with_points.weight_bytes == size.weight_bytes + points + 4 * WIDTH


def embedding_then_head(graphs, shared: bool) -> ir.Model:
    """Ids → Gather from a square table → Mul by a norm weight → MatMul by the same table or by one of its own."""
    side = np.random.default_rng(0).normal(size=(HIDDEN, HIDDEN)).astype(np.float32)
    table = graphs.constant("embedding", side)
    weight = table if shared else graphs.constant("head.weight", side.copy())
    ids = graphs.value("input_ids", [1, "rows"], ir.DataType.INT64)
    embed = graphs.node("Gather", [table, ids], axis=0)
    norm = graphs.node("Mul", [embed.outputs[0], graphs.constant("norm", np.ones(HIDDEN, np.float32))])
    head = graphs.node("MatMul", [norm.outputs[0], weight], name="head")
    return graphs.model([ids], [embed, norm, head], [graphs.logits_of(head, HIDDEN)])


@pytest.mark.parametrize("shared", [False, True])
def test_an_embedding_counts_only_when_something_multiplies_with_it(graphs, shared):
    weights = HIDDEN * HIDDEN + HIDDEN
    assert model_size(embedding_then_head(graphs, shared)) == ModelSize(parameters=weights, weight_bytes=4 * weights)


def test_the_size_is_the_same_for_a_graph_whose_data_lies_outside(graphs, tmp_path):
    model = graphs.packed(HIDDEN, WIDTH, zero_points=True, bias=True)
    save_graph(model, tmp_path / "model.onnx", "model.data")
    assert model_size(load_graph(tmp_path / "model.onnx")) == model_size(model)


# --- fix_cache_shapes ------------------------------------------------------------------------------------------------

KV_HEADS, HEAD_SIZE = 2, 16


def cache_shapes(model: ir.Model) -> dict[str, list]:
    values = [*model.graph.inputs, *model.graph.outputs]
    return {value.name: list(value.shape) for value in values if value.name.startswith(("past", "present"))}


@pytest.mark.parametrize("projection", ["MatMulNBits", "MatMul"])
def test_the_head_size_is_written_into_past_and_present(graphs, projection, tmp_path):
    model = graphs.attention_layer(projection)
    fix_cache_shapes(model)
    save_graph(model, tmp_path / "model.onnx", "model.data")
    assert cache_shapes(load_graph(tmp_path / "model.onnx")) == {
        "past_key_values.0.key": [1, KV_HEADS, "past", HEAD_SIZE],
        "past_key_values.0.value": [1, KV_HEADS, "past", HEAD_SIZE],
        "present.0.key": [1, KV_HEADS, "total", HEAD_SIZE],
        "present.0.value": [1, KV_HEADS, "total", HEAD_SIZE],
    }


def test_shapes_that_are_fixed_are_left_alone(graphs):
    model = graphs.attention_layer("Relu", size=24)
    before = cache_shapes(model)
    fix_cache_shapes(model)
    assert cache_shapes(model) == before


def test_keys_and_values_of_a_token_are_counted_in_all_layers(graphs):
    model = graphs.attention_layer("MatMul")
    with pytest.raises(EdgedraftError, match=r"past_key_values\.0\.key: expected fixed heads and head size"):
        cache_bytes_per_token(model)
    fix_cache_shapes(model)
    assert cache_bytes_per_token(model) == 2 * KV_HEADS * HEAD_SIZE * 4


def test_a_head_size_that_cannot_be_told_is_an_error(graphs):
    with pytest.raises(EdgedraftError) as error:
        fix_cache_shapes(graphs.attention_layer("Relu"))
    assert str(error.value) == (
        "graph input past_key_values.0.key: cannot tell the head size - export with fixed cache shapes"
    )


def test_a_present_that_is_missing_is_an_error(graphs):
    model = graphs.attention_layer()
    del model.graph.outputs[1:]
    with pytest.raises(EdgedraftError) as error:
        fix_cache_shapes(model)
    assert str(error.value) == "graph output present.0.key: not found, got ['logits']"


def test_layers_with_a_window_keep_their_whole_past(graphs):
    """A window's own buffer is refused where the context is shorter, and forgets what a rewind needs."""
    model = graphs.attention_layer()
    attention = model.graph[0]
    assert not drop_cache_windows(model)
    attention.attributes.add(ir.AttrInt64("local_window_size", 32))
    attention.attributes.add(ir.AttrInt64("sliding_window_cache", 1))
    assert drop_cache_windows(model)
    assert set(attention.attributes) == {"num_heads", "kv_num_heads", "local_window_size"}


# --- outputs and files -----------------------------------------------------------------------------------------------


def test_a_missing_output_lists_those_there_are(graphs):
    with pytest.raises(EdgedraftError) as error:
        output_named(graphs.plain(HIDDEN, WIDTH), "scores")
    assert str(error.value) == "graph output scores: not found, got ['logits']"


def test_logits_without_a_fixed_width_are_refused(graphs):
    model = graphs.plain(HIDDEN, WIDTH)
    assert vocabulary_width(model) == WIDTH
    model.graph.outputs[0].shape = ir.Shape([1, "rows", "vocab"])
    with pytest.raises(EdgedraftError, match=r"^graph output logits: expected a fixed width, got vocab$"):
        vocabulary_width(model)
    model.graph.outputs[0].shape = None
    with pytest.raises(EdgedraftError, match=r"^graph output logits: expected a fixed width$"):
        vocabulary_width(model)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EdgedraftError) as error:
        load_graph(tmp_path / "gone.onnx")
    assert str(error.value) == f"{tmp_path / 'gone.onnx'}: no such ONNX file"


@pytest.mark.parametrize("content", [b"not protobuf", b"\x08", b"\xff" * 100, b'{"json": true}'])
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(EdgedraftError, match=f"^{re.escape(str(path))}: not an ONNX model that can be read, got .+"):
        load_graph(path)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_file_cut_short_is_named(graphs, tmp_path, share):
    path = tmp_path / "cut.onnx"
    ir.save(graphs.plain(HIDDEN, WIDTH), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(EdgedraftError, match=f"^{re.escape(str(path))}: not an ONNX model that can be read, got .+"):
        load_graph(path)


def test_a_kilobyte_and_less_stays_in_the_graph(graphs, tmp_path):
    """Shapes and axes are among them, which ONNX Runtime reads when it opens a graph."""
    states = graphs.value("hidden", [1, "rows", 4])
    sizes = (63, 64, 65)
    weights = [graphs.constant(f"of {16 * width} bytes", np.ones((4, width), np.float32)) for width in sizes]
    nodes = [graphs.node("MatMul", [states, weight]) for weight in weights]
    save_graph(graphs.model([states], nodes, [graphs.logits_of(nodes[-1], sizes[-1])]), tmp_path / "m.onnx", "m.data")
    values = load_graph(tmp_path / "m.onnx").graph.initializers.values()
    outside = {value.name for value in values if isinstance(value.const_value, ir.ExternalTensor)}
    assert (outside, INLINE_BYTES) == ({"of 1040 bytes"}, 1024)


def test_all_tensors_go_to_one_data_file(graphs, tmp_path):
    save_graph(graphs.packed(HIDDEN, WIDTH, bias=True), tmp_path / "model.onnx", "model.data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.data", "model.onnx"]
    assert (tmp_path / "model.onnx").stat().st_size < 2000
    feed = graphs.states(HIDDEN, 2)
    expected = graphs.run(graphs.packed(HIDDEN, WIDTH, bias=True), feed)
    assert np.array_equal(graphs.run(tmp_path / "model.onnx", feed), expected)
