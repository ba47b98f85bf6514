"""What the exporter's tests share: graphs of a few nodes built by hand, and draft-and-verify walked naively."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from edgedraft.calibration.trace.rows import AcceptanceTrace
from edgedraft.exporter.graph.loading import save_graph
from edgedraft.exporter.models.convert import OnnxFolder
from edgedraft.exporter.models.pair import Pair
from edgedraft.exporter.models.sources import ONNX, ModelSource
from edgedraft.exporter.models.sums import write_sums
from edgedraft.runtime.onnx.providers import share_thread_pool
from edgedraft.runtime.onnx.session import SessionSettings

OPSETS = {"": 21, "com.microsoft": 1}
IR_VERSION = 10


class Graphs:
    """Builds graphs that end in logits (1, rows, vocab) and runs them in ONNX Runtime."""

    def value(self, name: str, shape: Sequence[int | str], dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Value:
        return ir.val(name, dtype, shape)

    def constant(self, name: str, array: np.ndarray) -> ir.Value:
        return ir.val(name, const_value=ir.tensor(array, name=name))

    def node(self, op_type: str, inputs: Sequence[ir.Value | None], name: str | None = None, **attributes) -> ir.Node:
        domain = "com.microsoft" if op_type in {"MatMulNBits", "GroupQueryAttention", "GatherBlockQuantized"} else ""
        return ir.node(op_type, inputs, attributes, name=name, domain=domain)

    def model(self, inputs: Sequence[ir.Value], nodes: Sequence[ir.Node], outputs: Sequence[ir.Value]) -> ir.Model:
        """A model of ``nodes`` with every constant they read as an initializer."""
        read = [value for node in nodes for value in node.inputs if value is not None and value.const_value is not None]
        constants = {value.name: value for value in read}
        graph = ir.Graph(
            inputs, outputs, nodes=nodes, initializers=list(constants.values()), opset_imports=OPSETS, name="hand-made"
        )
        return ir.Model(graph, ir_version=IR_VERSION)

    def logits_of(self, node: ir.Node, width: int) -> ir.Value:
        """Make the node's output the logits."""
        logits = node.outputs[0]
        logits.name, logits.dtype, logits.shape = "logits", ir.DataType.FLOAT, ir.Shape([1, "rows", width])
        return logits

    def plain(self, hidden: int, width: int, seed: int = 0) -> ir.Model:
        """Hidden states times a float matrix."""
        weight = np.random.default_rng(seed).normal(size=(hidden, width)).astype(np.float32)
        states = self.value("hidden", [1, "rows", hidden])
        head = self.node("MatMul", [states, self.constant("head.weight", weight)], name="head")
        return self.model([states], [head], [self.logits_of(head, width)])

    def packed(
        self,
        hidden: int,
        width: int,
        *,
        bits: int = 4,
        zero_points: bool = False,
        bias: bool = False,
        level: int = 4,
        flat: bool = False,
        seed: int = 0,
    ) -> ir.Model:
        """Hidden states times a block-quantized matrix of random packed values, blocks of 32."""
        rng = np.random.default_rng(seed)
        blocks = hidden // 32
        points = -(-blocks * bits // 8)
        values = rng.integers(0, 256, (width, blocks, 4 * bits), dtype=np.uint8)
        scales = rng.uniform(0.01, 0.02, (width, blocks)).astype(np.float32)
        zeros = rng.integers(0, 256, (width, points), dtype=np.uint8)
        shift = rng.normal(size=width).astype(np.float32)
        if flat:
            scales, zeros = scales.reshape(-1), zeros.reshape(-1)
        states = self.value("hidden", [1, "rows", hidden])
        inputs = [
            states,
            self.constant("head.values", values),
            self.constant("head.scales", scales),
            self.constant("head.zero_points", zeros) if zero_points else None,
            None,
            self.constant("head.bias", shift) if bias else None,
        ]
        while inputs[-1] is None:
            inputs.pop()
        attributes = {"K": hidden, "N": width, "bits": bits, "block_size": 32, "accuracy_level": level}
        head = self.node("MatMulNBits", inputs, name="head", **attributes)
        return self.model([states], [head], [self.logits_of(head, width)])

    def attention_layer(self, projection: str = "MatMulNBits", size: int | str = "head_size") -> ir.Model:
        """A GroupQueryAttention of 4 heads of 16 and its output projection; past and present end in ``size``."""
        heads, kv_heads, width = 4, 2, 64
        query = self.value("hidden", [1, "rows", width])
        pasts = [self.value(f"past_key_values.0.{part}", [1, kv_heads, "past", size]) for part in ("key", "value")]
        attention = ir.node(
            "GroupQueryAttention",
            [query, query, query, *pasts],
            {"num_heads": heads, "kv_num_heads": kv_heads},
            domain="com.microsoft",
            num_outputs=3,
        )
        mixed, *presents = attention.outputs
        for part, value in zip(("key", "value"), presents, strict=True):
            value.name, value.dtype = f"present.0.{part}", ir.DataType.FLOAT
            value.shape = ir.Shape([1, kv_heads, "total", size])
        if projection == "MatMulNBits":
            values = self.constant("values", np.zeros((width, width // 32, 16), np.uint8))
            scales = self.constant("scales", np.zeros((width, width // 32), np.float32))
            output = self.node("MatMulNBits", [mixed, values, scales], K=width, N=width, bits=4, block_size=32)
        elif projection == "MatMul":
            output = self.node("MatMul", [mixed, self.constant("weight", np.zeros((width, width), np.float32))])
        else:
            output = self.node("Relu", [mixed])
        return self.model([query, *pasts], [attention, output], [self.logits_of(output, width), *presents])

    def run(self, model: ir.Model | Path, inputs: dict[str, np.ndarray], output: str = "logits") -> np.ndarray:
        """One output of a model in memory or on disk."""
        return self.session(model).run([output], inputs)[0]

    def session(self, model: ir.Model | Path) -> "onnxruntime.InferenceSession":
        options = onnxruntime.SessionOptions()
        share_thread_pool(2)  # a process that shares one pool opens every session on it
        options.use_per_session_threads = False
        options.log_severity_level = 3
        source = str(model) if isinstance(model, Path) else ir.to_proto(model).SerializeToString()
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    def states(self, hidden: int, rows: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Random hidden states of ``rows`` positions, as a feed."""
        return {"hidden": np.random.default_rng([seed, rows]).normal(size=(1, rows, hidden)).astype(np.float32)}


@pytest.fixture(scope="session")
def graphs() -> Graphs:
    return Graphs()


def walk_naively(proposals: Sequence[int], targets: Sequence[int], draft_length: int) -> tuple[int, int, int, int, int]:
    """Rounds, tokens, accepted, evaluated and full rounds of one answer, drafted and verified token by token.

    A draft is evaluated when those before it in its round were kept and the answer has not ended yet.
    """
    position = rounds = tokens = accepted = evaluated = full = 0
    while position < len(targets):
        kept = 0
        while kept < draft_length and position + kept < len(targets):
            evaluated += 1
            if proposals[position + kept] != targets[position + kept]:
                break
            kept += 1
        rounds += 1
        tokens += min(kept + 1, len(targets) - position)
        accepted += kept
        full += kept == draft_length
        position += kept + 1
    return rounds, tokens, accepted, evaluated, full


@pytest.fixture(scope="session")
def naive_walk():
    return walk_naively


def trace_of(preferences: np.ndarray, targets: np.ndarray, offsets: np.ndarray, cap: int = 1024) -> AcceptanceTrace:
    """The trace of a drafter whose full order at each position is a row of ``preferences``."""
    places = (preferences == targets[:, None]).argmax(axis=1)
    rows = [order[: min(place + 1, cap)] for order, place in zip(preferences, places, strict=True)]
    ids = np.concatenate([np.zeros(0, np.int32), *rows]).astype(np.int32)
    return AcceptanceTrace(
        target_ids=targets,
        wanted=places + 1,
        ids=ids,
        log_probs_by_drafter=np.zeros(len(ids), np.float32),
        offsets=np.asarray(offsets),
        cap=cap,
    )


@pytest.fixture(scope="session")
def greedy_trace():
    return trace_of


class OneNodePairs:
    """Pairs of one-node models in folders as the converter leaves them; nothing in them can be opened as a decoder."""

    hidden, vocab_size, end_token_ids = 32, 192, (7, 190)

    def __init__(self, graphs: Graphs) -> None:
        self.graphs = graphs

    def folder(self, path: Path, *, width: int = vocab_size, words: int = 3, seed: int = 0) -> OnnxFolder:
        """A converted model: graph with its data, tokenizer, and the two settings that are read."""
        path.mkdir(parents=True)
        save_graph(self.graphs.packed(self.hidden, width, seed=seed), path / "model.onnx", "model.onnx.data")
        tokenizer = {"model": {"vocab": {f"word{i}": i for i in range(words)}}}
        decoder = {"filename": "model.onnx", "head_size": self.hidden}
        settings = {"model": {"eos_token_id": [190, 7], "context_length": 4096, "decoder": decoder}}
        (path / "tokenizer.json").write_text(json.dumps(tokenizer))
        (path / "tokenizer_config.json").write_text("{}")
        (path / "genai_config.json").write_text(json.dumps(settings))
        write_sums(path)
        source = ModelSource(
            kind=ONNX,
            path=path,
            name=path.name,
            base_model=f"org/{path.name}",
            license="Apache-2.0",
            identity=path.name,
        )
        return OnnxFolder(path=path, source=source, precision="int4", costs=())

    def pair(self, root: Path) -> Pair:
        target, drafter = self.folder(root / "big", seed=1), self.folder(root / "small", seed=2)
        return Pair(target, drafter, SessionSettings(threads=1))


@pytest.fixture(scope="session")
def one_node_pairs(graphs) -> OneNodePairs:
    return OneNodePairs(graphs)
