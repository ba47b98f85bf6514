"""Graphs of other tools are changed, only in the copy, so that the runtime can run them."""

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.interface import adapt_interface, cast_interface, require_readable, score_every_token
from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from tests.plain_llama import Style, save_plain_llama

TEXT = np.random.default_rng(0).integers(2, 300, 12).tolist()
SETTINGS = SessionSettings(threads=2, context_length=32)


@pytest.fixture
def plain(tiny_pair, tmp_path) -> ir.Model:
    save_plain_llama(tiny_pair.target, tmp_path / "plain.onnx", Style())
    return load_graph(tmp_path / "plain.onnx")


def read(model: ir.Model, path) -> np.ndarray:
    """The logits of a text in one pass and, after a rewind, in two."""
    save_graph(model, path, f"{path.name}.data")
    opened = open_model(path, SETTINGS)
    whole = opened.read(TEXT).logits.copy()
    opened.rewind(4)
    np.testing.assert_allclose(opened.read(TEXT[4:]).logits, whole[4:], atol=0.2)
    return whole


def retype(model: ir.Model, names: set[str], dtype: ir.DataType) -> None:
    """Give inputs and outputs another type, with a Cast inside, as other exporters do."""
    graph = model.graph
    for value in [each for each in graph.inputs if each.name in names]:
        cast = ir.node("Cast", [value], {"to": int(value.dtype)})
        readers = [use for use in value.uses() if use.node is not cast]
        for use in readers:
            use.node.replace_input_with(use.idx, cast.outputs[0])
        value.dtype = dtype
        graph.insert_before(graph[0], cast)
    for place, value in enumerate(graph.outputs):
        if value.name in names:
            cast = ir.node("Cast", [value], {"to": int(dtype)})
            cast.outputs[0].name, value.name = value.name, f"{value.name}.inner"
            cast.outputs[0].dtype, cast.outputs[0].shape = dtype, value.shape
            graph.append(cast)
            graph.outputs[place] = cast.outputs[0]


def types(model: ir.Model) -> dict[str, str]:
    return {str(value.name): value.dtype.name for value in (*model.graph.inputs, *model.graph.outputs)}


# --- types -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE])
def test_logits_of_any_float_are_read_as_float32(plain, tmp_path, dtype):
    expected = read(plain, tmp_path / "before.onnx")
    retype(plain, {"logits"}, dtype)
    adapt_interface(plain)
    assert types(plain)["logits"] == "FLOAT"
    np.testing.assert_allclose(read(plain, tmp_path / "after.onnx"), expected, atol=0.1)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("input_ids", ir.DataType.INT32),
        ("attention_mask", ir.DataType.FLOAT16),
        ("attention_mask", ir.DataType.FLOAT),
        ("position_ids", ir.DataType.INT32),
    ],
)
def test_ids_masks_and_positions_of_other_types_are_fed_as_int64(plain, tmp_path, name, dtype):
    expected = read(plain, tmp_path / "before.onnx")
    retype(plain, {name}, dtype)
    adapt_interface(plain)
    assert types(plain)[name] == "INT64"
    np.testing.assert_array_equal(read(plain, tmp_path / "after.onnx"), expected)


def test_keys_and_values_of_bfloat16_become_float32_and_those_of_float16_stay(plain, tmp_path):
    expected = read(plain, tmp_path / "before.onnx")
    caches = [name for name in types(plain) if name.startswith(("past", "present"))]
    keys = {name for name in caches if name.endswith("key")}
    retype(plain, keys, ir.DataType.BFLOAT16)
    retype(plain, set(caches) - keys, ir.DataType.FLOAT16)
    adapt_interface(plain)
    assert {types(plain)[name] for name in keys} == {"FLOAT"}
    assert {types(plain)[name] for name in caches if name not in keys} == {"FLOAT16"}
    assert np.abs(read(plain, tmp_path / "after.onnx") - expected).max() < 0.05 * expected.std()


def test_a_graph_that_is_right_stays_as_it_is(plain):
    before = [node.op_type for node in plain.graph]
    cast_interface(plain)
    assert not score_every_token(plain)
    assert [node.op_type for node in plain.graph] == before


# --- heads that score the last token alone ---------------------------------------------------------------------------


def prune(model: ir.Model, shape: str) -> None:
    """Select the states of the last token before the head, as different exporters do."""
    head = model.graph.outputs[0].producer()
    states, graph = head.inputs[0], model.graph

    def number(name: str, values: list[int] | int) -> ir.Value:
        value = ir.val(name, const_value=ir.tensor(np.array(values, np.int64), name=name))
        graph.register_initializer(value)
        return value

    if shape == "Gather and Unsqueeze":
        gather = ir.node("Gather", [states, number("last", -1)], {"axis": 1})
        nodes = [gather, ir.node("Unsqueeze", [gather.outputs[0], number("axis", [1])])]
    elif shape == "Gather":
        nodes = [ir.node("Gather", [states, number("last", [-1])], {"axis": 1})]
    else:
        bounds = [number(name, [value]) for name, value in (("from", -1), ("to", 2**63 - 1), ("axis", 1))]
        nodes = [ir.node("Slice", [states, *bounds])]
    for node in nodes:
        graph.insert_before(head, node)
    head.replace_input_with(0, nodes[-1].outputs[0])
    logits = graph.outputs[0]
    logits.shape = ir.Shape([logits.shape[0], 1, logits.shape[2]])


@pytest.mark.parametrize("shape", ["Gather and Unsqueeze", "Gather", "Slice"])
def test_the_cut_to_the_last_token_is_taken_out(plain, tmp_path, shape):
    expected = read(plain, tmp_path / "before.onnx")
    count = len(list(plain.graph))
    prune(plain, shape)
    adapt_interface(plain)
    assert len(list(plain.graph)) == count
    np.testing.assert_array_equal(read(plain, tmp_path / "after.onnx"), expected)


def test_a_cut_of_another_kind_is_refused_before_weights_are_copied(plain, tmp_path):
    prune(plain, "Gather")
    cut = plain.graph.outputs[0].producer().inputs[0].producer()
    cut.replace_input_with(1, next(value for value in plain.graph.inputs if value.name == "position_ids"))
    save_graph(plain, tmp_path / "model.onnx", "model.onnx.data")
    with pytest.raises(EdgedraftError, match=r"logits: expected scores of every token, .* - export the graph without"):
        require_readable(tmp_path / "model.onnx")
