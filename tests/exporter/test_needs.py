"""What a graph asks of a device: its largest weight, half-precision numbers wherever they hide, its data files."""

import dataclasses

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graphs import load_graph
from edgedraft.exporter.needs import GraphNeeds, graph_needs, require_bindable
from edgedraft.exporter.providers import PROVIDERS
from edgedraft.exporter.sharding import save_in_shards
from edgedraft.runtime.errors import EdgedraftError

HIDDEN, WIDTH = 64, 192


def test_a_graph_in_memory_has_no_files(graphs):
    model = graphs.packed(HIDDEN, WIDTH)
    wanted = GraphNeeds(data=(), largest="head.values", largest_tensor_bytes=HIDDEN * WIDTH // 2, half=False)
    assert graph_needs(model) == wanted


def test_files_are_listed_whatever_their_number(graphs, tmp_path):
    model = graphs.packed(HIDDEN, WIDTH)
    save_in_shards(model, tmp_path / "model.onnx", "model.onnx.data", HIDDEN * WIDTH // 2)
    found = graph_needs(load_graph(tmp_path / "model.onnx"))
    assert found.data == ("model.onnx.data", "model.onnx_1.data")
    assert (found.largest, found.largest_tensor_bytes) == ("head.values", HIDDEN * WIDTH // 2)


def halved(graphs, where: str) -> ir.Model:
    """A float graph with half-precision numbers in one place."""
    model = graphs.plain(HIDDEN, WIDTH)
    if where == "weight":
        value = graphs.constant("spare", np.zeros(2, np.float16))
        model.graph.register_initializer(value)
    elif where == "input":
        model.graph.inputs.append(graphs.value("more", [1], ir.DataType.FLOAT16))
    elif where == "between":
        model.graph[0].outputs[0].dtype = ir.DataType.FLOAT16
    elif where == "cast":
        model.graph.append(ir.node("Cast", [model.graph.inputs[0]], {"to": int(ir.DataType.FLOAT16)}))
    elif where == "constant":
        model.graph.append(ir.node("Constant", [], {"value": ir.tensor(np.zeros(2, np.float16))}))
    elif where == "subgraph":
        inner = ir.node("Constant", [], {"value": ir.tensor(np.zeros(2, np.float16))})
        branch = ir.Graph([], inner.outputs, nodes=[inner], opset_imports={"": 21})
        condition = graphs.value("condition", [], ir.DataType.BOOL)
        model.graph.inputs.append(condition)
        model.graph.append(ir.node("If", [condition], {"then_branch": branch, "else_branch": branch.clone()}))
    return model


@pytest.mark.parametrize("where", ["weight", "input", "between", "cast", "constant", "subgraph"])
def test_half_precision_is_found_wherever_it_is(graphs, where):
    assert graph_needs(halved(graphs, where)).half


def test_casts_to_other_types_are_not_half(graphs):
    model = graphs.plain(HIDDEN, WIDTH)
    model.graph.append(ir.node("Cast", [model.graph.inputs[0]], {"to": int(ir.DataType.INT64)}))
    assert not graph_needs(model).half


def test_a_weight_that_cannot_be_bound_is_named(graphs):
    small = dataclasses.replace(PROVIDERS["webgpu"], largest_tensor_bytes=HIDDEN * WIDTH // 2)
    require_bindable(graphs.packed(HIDDEN, WIDTH), "target", small)
    with pytest.raises(EdgedraftError, match=r"^target: head.weight: webgpu binds at most 0 MiB as one tensor, got "):
        require_bindable(graphs.plain(HIDDEN, WIDTH), "target", small)
