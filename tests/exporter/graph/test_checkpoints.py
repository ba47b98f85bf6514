"""A graph with checkpoints computes what it computed before, and gives the states at the cut bit for bit."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from edgedraft.exporter.graph.checkpoints import add_checkpoints
from edgedraft.exporter.graph.interface import adapt_interface
from edgedraft.exporter.graph.loading import load_graph, state_bytes
from edgedraft.runtime.onnx.providers import share_thread_pool
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from edgedraft.runtime.onnx.state_inputs import CHECKPOINT_ROWS

HEADS, KEYS, VALUES, HIDDEN, VOCAB, WINDOW, TOKENS = 2, 4, 6, 12, 16, 3, 5
RNG = np.random.default_rng(0)


@pytest.fixture
def graph() -> ir.Model:
    """Token embeddings through a convolution and a linear attention to logits."""
    widths = {"q": HEADS * KEYS, "k": HEADS * KEYS, "v": HIDDEN, "decay": HEADS, "beta": HEADS, "out": VOCAB}
    weights = {name: RNG.standard_normal((HIDDEN, width)).astype(np.float32) * 0.3 for name, width in widths.items()}
    weights["table"] = RNG.standard_normal((VOCAB, HIDDEN)).astype(np.float32)
    weights["filter"] = RNG.standard_normal((HIDDEN, 1, WINDOW + 1)).astype(np.float32)
    constants = {name: ir.val(name, const_value=ir.tensor(array, name=name)) for name, array in weights.items()}
    ids = ir.val("input_ids", ir.DataType.INT64, ir.Shape(["batch", "tokens"]))
    conv = ir.val("past.0.conv", ir.DataType.FLOAT, ir.Shape(["batch", HIDDEN, WINDOW]))
    state = ir.val("past.0.recurrent", ir.DataType.FLOAT, ir.Shape(["batch", HEADS, KEYS, VALUES]))
    nodes: list[ir.Node] = []

    def made(kind, *inputs, domain="", count=1, **attributes):
        nodes.append(ir.node(kind, list(inputs), attributes, domain=domain, num_outputs=count))
        return nodes[-1].outputs

    (turned,) = made("Transpose", *made("Gather", constants["table"], ids), perm=[0, 2, 1])
    microsoft = {"domain": "com.microsoft", "count": 2}
    seen, conv_after = made(
        "CausalConvWithState", turned, constants["filter"], None, conv, **microsoft, activation="silu", ndim=1
    )
    (x,) = made("Transpose", seen, perm=[0, 2, 1])
    q, k, v, decay, beta = (made("MatMul", x, constants[name])[0] for name in ("q", "k", "v", "decay", "beta"))
    (decay,), (beta,) = made("Neg", *made("Abs", decay)), made("Sigmoid", beta)
    rows, state_after = made(
        "LinearAttention",
        q, k, v, state, decay, beta,
        **microsoft, q_num_heads=HEADS, kv_num_heads=HEADS, update_rule="gated_delta", scale=0.5,
    )  # fmt: skip
    (logits,) = made("MatMul", rows, constants["out"])
    outputs = {"logits": logits, "present.0.conv": conv_after, "present.0.recurrent": state_after}
    shapes = {
        "logits": ir.Shape(["batch", "tokens", VOCAB]),
        "present.0.conv": conv.shape,
        "present.0.recurrent": state.shape,
    }
    for name, value in outputs.items():
        value.name, value.dtype, value.shape = name, ir.DataType.FLOAT, shapes[name]
    whole = ir.Graph(
        [ids, conv, state],
        list(outputs.values()),
        nodes=nodes,
        initializers=list(constants.values()),
        opset_imports={"": 21, "com.microsoft": 1},
        name="recurrent",
    )
    return ir.Model(whole, ir_version=10)


def feed(tokens: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "input_ids": rng.integers(0, VOCAB, (1, tokens)),
        "past.0.conv": rng.standard_normal((1, HIDDEN, WINDOW)).astype(np.float32),
        "past.0.recurrent": rng.standard_normal((1, HEADS, KEYS, VALUES)).astype(np.float32),
    }


def run(model: ir.Model, folder: Path, fed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    ir.save(model, folder / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    share_thread_pool(2)
    options.use_per_session_threads = False
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    return dict(zip([value.name for value in session.get_outputs()], session.run(None, fed), strict=True))


def test_engines_that_do_not_know_checkpoints_run_the_graph_as_before(graph, tmp_path):
    before = run(graph, tmp_path, feed(TOKENS))
    assert add_checkpoints(graph) == 2
    after = run(graph, tmp_path, feed(TOKENS))
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


@pytest.mark.parametrize("rows", range(1, TOKENS + 1))
def test_checkpoints_are_the_states_after_so_many_tokens(rows, graph, tmp_path):
    whole, short = run(graph, tmp_path, feed(TOKENS)), feed(TOKENS)
    short["input_ids"] = short["input_ids"][:, :rows]
    until = run(graph, tmp_path, short)
    add_checkpoints(graph)
    found = run(graph, tmp_path, feed(TOKENS) | {CHECKPOINT_ROWS: np.array([rows])})
    np.testing.assert_array_equal(found["logits"], whole["logits"])
    for kind in ("conv", "recurrent"):
        np.testing.assert_array_equal(found[f"checkpoint.0.{kind}"], until[f"present.0.{kind}"])
        present = found[f"present.0.{kind}"]
        if rows == TOKENS:
            assert present.shape[0] == 0, "nothing is written twice"
        else:
            np.testing.assert_array_equal(present, whole[f"present.0.{kind}"])


def test_copied_graphs_get_checkpoints_once(graph):
    adapt_interface(graph)
    assert [value.name for value in graph.graph.outputs if value.name.startswith("checkpoint")]
    assert add_checkpoints(graph) == 0


def test_unknown_operators_are_left_as_they_are(graph):
    for node in graph.graph:
        if node.op_type == "LinearAttention":
            node.op_type = "SomeScan"
    assert add_checkpoints(graph) == 0
    assert all(value.name != CHECKPOINT_ROWS for value in graph.graph.inputs)


def test_states_are_counted_in_bytes(graph):
    assert state_bytes(graph) == 4 * (HIDDEN * WINDOW + HEADS * KEYS * VALUES)


@pytest.mark.parametrize("checkpoints", [False, True])
def test_a_model_without_keys_and_values_rewinds_with_and_without_checkpoints(checkpoints, graph, tmp_path):
    if checkpoints:
        add_checkpoints(graph)
    ir.save(graph, tmp_path / "model.onnx")
    assert load_graph(tmp_path / "model.onnx").graph.name == "recurrent"
    opened = OnnxGraph(tmp_path / "model.onnx", SessionSettings(threads=2, context_length=64))
    ids = np.random.default_rng(2).integers(0, VOCAB, 64).tolist()
    whole = opened.new_model().read(ids).logits.copy()
    model = opened.new_model()
    for length in (0, 3, 1, 40, 17, 38, 39, 5):  # partly refused drafts of 3 tokens, and edits
        model.rewind(min(length, model.length))
        while model.length < max(length, 3):
            start = model.length
            model.read([ids[start], 1, 1, 1])
            model.rewind(start + 1)
            found = model.read(ids[start + 1 : start + 3]).logits
            np.testing.assert_allclose(found, whole[start + 1 : start + 3], atol=1e-5)
