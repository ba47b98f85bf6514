"""What a graph asks of a device: its largest weight, half-precision numbers, operators, its data files."""

import dataclasses

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.blocks import BlockScheme
from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.needs import GraphNeeds, graph_needs, require_bindable
from edgedraft.exporter.graph.packing import pack_embedding
from edgedraft.exporter.graph.preparing import prepare
from edgedraft.exporter.graph.providers import PROVIDERS
from edgedraft.runtime.base.errors import EdgedraftError

HIDDEN, WIDTH = 64, 192


def test_a_graph_in_memory_has_no_files(graphs):
    model = graphs.packed(HIDDEN, WIDTH)
    sizes = {"largest": "head.values", "largest_tensor_bytes": HIDDEN * WIDTH // 2}
    assert graph_needs(model) == GraphNeeds(data=(), half=False, operators=("MatMulNBits",), **sizes)


def test_files_are_listed_whatever_their_number(graphs, tmp_path):
    model = graphs.packed(HIDDEN, WIDTH)
    save_graph(model, tmp_path / "model.onnx", "model.onnx.data", HIDDEN * WIDTH // 2)
    found = graph_needs(load_graph(tmp_path / "model.onnx"))
    assert found.data == ("model-00001-of-00002.onnx.data", "model-00002-of-00002.onnx.data")
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


def looked_up(graphs, features: int, scheme: BlockScheme) -> ir.Model:
    """Ids to rows of a packed token table, which are the logits."""
    table = np.random.default_rng(3).normal(size=(WIDTH, features)).astype(np.float32)
    ids = graphs.value("input_ids", [1, "rows"], ir.DataType.INT64)
    gather = graphs.node("Gather", [graphs.constant("table", table), ids], name="embed", axis=0)
    model = graphs.model([ids], [gather], [graphs.logits_of(gather, features)])
    pack_embedding(model, scheme)
    return model


ODD = ("GatherBlockQuantized", "GatherBlockQuantized/odd")


@pytest.mark.parametrize(
    ("features", "bits", "symmetric", "operators"),
    [(128, 4, False, ODD[:1]), (96, 4, False, ODD), (96, 4, True, ODD[:1]), (96, 8, True, ODD[:1])],
)
def test_operators_that_a_browser_may_lack_are_told(graphs, features, bits, symmetric, operators):
    """Three blocks of 32 leave half a byte of 4-bit zero points over, where there are any."""
    scheme = BlockScheme(bits=bits, block_size=32, symmetric=symmetric, search=False)
    assert graph_needs(looked_up(graphs, features, scheme)).operators == operators


@pytest.mark.parametrize("change", ["bits", "scales", "points"])
def test_tables_of_other_makers_are_judged_by_what_is_known_of_them(graphs, change):
    """Bits left out are four; rows that come from a node, or zero points that are not packed, are not called odd."""
    model = looked_up(graphs, 96, BlockScheme(bits=4, block_size=32, symmetric=False, search=False))
    gather = next(node for node in model.graph if node.op_type == "GatherBlockQuantized")
    if change == "bits":
        del gather.attributes["bits"]
    elif change == "scales":
        gather.replace_input_with(2, ir.node("Identity", [gather.inputs[2]]).outputs[0])
    else:
        unpacked = ir.Tensor(np.zeros((WIDTH, 3), np.uint8), dtype=ir.DataType.UINT4)
        gather.replace_input_with(3, ir.val("points", const_value=unpacked))
    assert graph_needs(model).operators == (ODD if change == "bits" else ODD[:1])


@pytest.mark.parametrize(("name", "operators"), [("cuda", ODD), ("webgpu", ODD[:1]), ("cpu", ()), ("wasm", ())])
def test_a_prepared_graph_needs_only_what_its_provider_has(graphs, tmp_path, name, operators):
    model = looked_up(graphs, 96, BlockScheme(bits=4, block_size=32, symmetric=False, search=False))
    prepare(model, PROVIDERS[name])
    ir.save(model, tmp_path / "model.onnx")
    assert graph_needs(load_graph(tmp_path / "model.onnx")).operators == operators


def test_operators_of_a_subgraph_count_and_onnxs_own_do_not(graphs):
    model = graphs.plain(HIDDEN, WIDTH)
    assert graph_needs(model).operators == ()
    inner = ir.node("Gelu", [model.graph.inputs[0]], domain="com.microsoft")
    branch = ir.Graph([], inner.outputs, nodes=[inner], opset_imports={"": 21, "com.microsoft": 1})
    condition = graphs.value("condition", [], ir.DataType.BOOL)
    model.graph.inputs.append(condition)
    model.graph.append(ir.node("If", [condition], {"then_branch": branch}))
    assert graph_needs(model).operators == ("Gelu",)


def test_a_weight_that_cannot_be_bound_is_named(graphs):
    small = dataclasses.replace(PROVIDERS["webgpu"], largest_tensor_bytes=HIDDEN * WIDTH // 2)
    require_bindable(graphs.packed(HIDDEN, WIDTH), "target", small)
    with pytest.raises(EdgedraftError, match=r"^target: head.weight: webgpu binds at most 0 MiB as one tensor, got "):
        require_bindable(graphs.plain(HIDDEN, WIDTH), "target", small)
