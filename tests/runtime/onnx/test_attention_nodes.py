"""A graph's attention is ours only where every node asks for what ours computes."""

import onnx
import pytest
from onnx import TensorProto, helper

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.attention_nodes import why_stock_attention
from tests.runtime.native.attention_graphs import Attention, attention_graph


def refusal(tmp_path, graph):
    (tmp_path / "model.onnx").write_bytes(graph)
    return why_stock_attention(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, None),
        ({"local_window_size": -1, "softcap": 0.0, "smooth_softmax": 0, "k_quant_type": "NONE"}, None),
        ({"inputs": ["", "", ""]}, None),
        ({"local_window_size": 512}, "attention with local_window_size"),
        ({"local_window_size": 0}, "attention with local_window_size"),
        ({"softcap": 50.0}, "attention with softcap"),
        ({"smooth_softmax": 1}, "attention with smooth_softmax"),
        ({"k_quant_type": "PER_TENSOR"}, "attention with k_quant_type"),
        ({"something_new": 0}, "attention with something_new"),
        ({"inputs": ["", "bias"]}, "attention has a bias, sinks, scales or other outputs"),
        ({"outputs": ["scores"]}, "attention has a bias, sinks, scales or other outputs"),
        ({"element": TensorProto.FLOAT16}, "keys and values are not float32 inputs of the graph"),
    ],
)
def test_only_what_ours_computes_is_taken(tmp_path, options, reason):
    assert refusal(tmp_path, attention_graph(Attention(), **options)) == reason


def test_one_node_in_a_branch_keeps_stock(tmp_path):
    model = onnx.load_from_string(attention_graph(Attention()))
    windowed = onnx.load_from_string(attention_graph(Attention(), local_window_size=4)).graph.node[0]
    inner = helper.make_graph([windowed], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner))
    assert refusal(tmp_path, model.SerializeToString()) == "attention with local_window_size"


def test_a_graph_without_attention_has_none(tmp_path):
    graph = helper.make_graph([helper.make_node("Neg", ["a"], ["b"])], "graph", [], [])
    assert refusal(tmp_path, helper.make_model(graph).SerializeToString()) == "no attention over grouped queries"


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(EdgedraftError, match="not an ONNX model"):
        refusal(tmp_path, b"\x3a\xff\xff")
