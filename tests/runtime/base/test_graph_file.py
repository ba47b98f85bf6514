"""The operators that read an input are found in the file itself, wherever in it the nodes stand."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgedraft.runtime.base.graph_file import input_readers

LAWS = settings(max_examples=40, deadline=None, derandomize=True, database=None)
NAMES = ("a", "b", "c", "past_key_values.0.key")


def saved(path, nodes, weights=()):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "graph",
        [value(name, TensorProto.FLOAT, [2]) for name in NAMES],
        [value("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(array, f"weight {number}") for number, array in enumerate(weights)],
        doc_string="\x0a\x02 text that looks like a field",
    )
    model = helper.make_model(graph, ir_version=10, producer_name="p" * 300)
    helper.set_model_props(model, {"GroupQueryAttention": "past_key_values.0.key"})
    onnx.save(model, path)
    return path


NODES = st.lists(st.tuples(st.sampled_from(["Add", "Mul", "Größe"]), st.lists(st.sampled_from(NAMES), max_size=4)))


@LAWS
@given(nodes=NODES, sizes=st.lists(st.integers(0, 400), max_size=3))
def test_every_reader_is_found(tmp_path_factory, nodes, sizes):
    made = [helper.make_node(kind, inputs, [f"out {n}"], name="n" * n) for n, (kind, inputs) in enumerate(nodes)]
    weights = [np.full(size, 2.6e-5, np.float32) for size in sizes]
    path = saved(tmp_path_factory.mktemp("graph") / "model.onnx", made, weights)
    expected = {name: {kind for kind, inputs in nodes if name in inputs} for name in NAMES[1:]}
    assert input_readers(path, NAMES[1:]) == expected


def test_what_a_subgraph_reads_is_not_the_graphs_own(tmp_path):
    inner = helper.make_graph([helper.make_node("Neg", ["a"], ["z"])], "inner", [], [])
    path = saved(tmp_path / "model.onnx", [helper.make_node("If", ["b"], ["y"], then_branch=inner, else_branch=inner)])
    assert input_readers(path, ["a", "b"]) == {"a": set(), "b": {"If"}}


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.99])
def test_a_file_that_ends_early_is_refused(tmp_path, kept, raises_exactly):
    path = saved(tmp_path / "model.onnx", [helper.make_node("Add", ["a", "b"], ["y"])], [np.ones(50, np.float32)])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with raises_exactly(f"{path}: not an ONNX model that can be read"):
        input_readers(path, ["a"])


@pytest.mark.parametrize("content", [b"", b"\x07", b"\xff" * 40])
def test_no_model_at_all_is_refused(tmp_path, content, raises_exactly):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with raises_exactly(f"{path}: not an ONNX model that can be read"):
        input_readers(path, ["a"])
