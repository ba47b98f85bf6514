"""A Llama written in plain ONNX operators, from the weights of a Hugging Face folder: its present is past plus new.

It is what Optimum, transformers.js and torch export, by another hand: no exporter of ours or theirs takes part.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from safetensors.numpy import load_file

FEEDS = ("input_ids", "attention_mask", "position_ids")


@dataclass(frozen=True, kw_only=True)
class Style:
    """Which inputs there are and what the caches are called; ``tied``: the head is the embedding, turned round."""

    feeds: Collection[str] = FEEDS
    past: str = "past_key_values.{layer}.{kind}"
    present: str = "present.{layer}.{kind}"
    tied: bool = False


def save_plain_llama(folder: Path, path: Path, style: Style | None = None) -> None:
    """Write the Llama in ``folder`` to ``path``, everything in one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ir.save(_Llama(folder, style or Style()).model(), path)


class _Operators:
    """``op.Add(a, b)`` appends a node and gives what it makes."""

    def __init__(self) -> None:
        self.nodes: list[ir.Node] = []

    def __getattr__(self, kind: str):
        def append(*inputs: ir.Value, **attributes: object) -> ir.Value:
            self.nodes.append(ir.node(kind, inputs, attributes))
            return self.nodes[-1].outputs[0]

        return append


class _Llama:
    def __init__(self, folder: Path, style: Style) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = load_file(folder / "model.safetensors")
        self.style = style
        self.op = _Operators()
        self.constants: dict[str, ir.Value] = {}
        self.heads, self.kv_heads = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        self.width = self.config["head_dim"]

    def model(self) -> ir.Model:
        op, layers = self.op, range(self.config["num_hidden_layers"])
        feeds = {name: self._feed(name) for name in self.style.feeds}
        pasts = [[self._cache(self.style.past, layer, kind, "past") for kind in ("key", "value")] for layer in layers]
        fresh = self._axis(feeds["input_ids"], 1)
        held = self._axis(pasts[0][0], 2)
        places = op.Range(held, op.Add(held, fresh), self._number(1))
        told = feeds.get("position_ids", feeds.get("cache_position", places))
        turns = self._turns(told if "position_ids" in feeds else op.Unsqueeze(told, self._axes(0)))
        bias = self._bias(places, op.Add(held, fresh), feeds.get("attention_mask"))
        states = op.Gather(self._weight("model.embed_tokens"), feeds["input_ids"])
        presents = []
        for layer in layers:
            mixed, grown = self._attention(
                layer, self._norm(states, f"layers.{layer}.input_layernorm"), pasts[layer], turns, bias
            )
            presents += grown
            states = op.Add(states, mixed)
            states = op.Add(
                states, self._feed_forward(layer, self._norm(states, f"layers.{layer}.post_attention_layernorm"))
            )
        logits = self._logits(self._norm(states, "norm"))
        inputs = [*feeds.values(), *(past for both in pasts for past in both)]
        graph = ir.Graph(
            inputs,
            [logits, *presents],
            nodes=op.nodes,
            initializers=list(self.constants.values()),
            opset_imports={"": 18},
        )
        return ir.Model(graph, ir_version=8)

    def _feed(self, name: str) -> ir.Value:
        axes = {"attention_mask": ["batch", "total"], "cache_position": ["tokens"]}.get(name, ["batch", "tokens"])
        return ir.val(name, ir.DataType.INT64, axes)

    def _cache(self, template: str, layer: int, kind: str, length: str) -> ir.Value:
        shape = ["batch", self.kv_heads, length, self.width]
        return ir.val(template.format(layer=layer, kind=kind), ir.DataType.FLOAT, shape)

    def _constant(self, name: str, array: np.ndarray) -> ir.Value:
        if name not in self.constants:
            self.constants[name] = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))
        return self.constants[name]

    def _number(self, value: float) -> ir.Value:
        return self._constant(
            f"{type(value).__name__} {value}", np.array(value, np.int64 if type(value) is int else np.float32)
        )

    def _axes(self, *values: int) -> ir.Value:
        return self._constant(f"axes {values}", np.array(values, np.int64))

    def _weight(self, name: str) -> ir.Value:
        return self._constant(f"{name}.weight", self.weights[f"{name}.weight"])

    def _axis(self, value: ir.Value, axis: int) -> ir.Value:
        return self.op.Gather(self.op.Shape(value), self._number(axis))

    def _times(self, states: ir.Value, name: str) -> ir.Value:
        """A projection; its node is called as Optimum calls it."""
        weight = self._constant(f"{name}.turned", self.weights[f"{name}.weight"].T)
        product = self.op.MatMul(states, weight)
        product.producer().name = f"/{name.replace('.', '/')}/MatMul"
        return product

    def _norm(self, states: ir.Value, name: str) -> ir.Value:
        """x / sqrt(mean(x²) + eps) · w."""
        op = self.op
        mean = op.ReduceMean(op.Mul(states, states), self._axes(-1))
        root = op.Sqrt(op.Add(mean, self._number(float(self.config["rms_norm_eps"]))))
        return op.Mul(op.Div(states, root), self._weight(f"model.{name}"))

    def _turns(self, places: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Cosines and sines of the rotary angles, (batch, 1, tokens, width)."""
        op = self.op
        speeds = float(self.config["rope_parameters"]["rope_theta"]) ** (-np.arange(0, self.width, 2) / self.width)
        both = self._constant("speeds", np.concatenate([speeds, speeds]).astype(np.float32))
        angles = op.Mul(op.Unsqueeze(op.Cast(places, to=1), self._axes(1, 3)), both)
        return op.Cos(angles), op.Sin(angles)

    def _bias(self, places: ir.Value, total: ir.Value, mask: ir.Value | None) -> ir.Value:
        """0 where a token may look, a large negative number elsewhere; (batch, 1, 1, tokens, total)."""
        op = self.op
        every = op.Range(self._number(0), total, self._number(1))
        seen = op.Unsqueeze(op.LessOrEqual(every, op.Unsqueeze(places, self._axes(1))), self._axes(0, 1, 2))
        if mask is not None:
            seen = op.And(seen, op.Unsqueeze(op.Cast(mask, to=9), self._axes(1, 2, 3)))
        return op.Where(seen, self._number(0.0), self._number(-1e9))

    def _split(self, states: ir.Value, heads: int) -> ir.Value:
        """(batch, tokens, heads · width) as (batch, heads, tokens, width)."""
        return self.op.Transpose(self.op.Reshape(states, self._axes(0, 0, heads, self.width)), perm=[0, 2, 1, 3])

    def _turned(self, states: ir.Value, turns: tuple[ir.Value, ir.Value]) -> ir.Value:
        op, half = self.op, self.width // 2
        first = op.Slice(states, self._axes(0), self._axes(half), self._axes(3))
        second = op.Slice(states, self._axes(half), self._axes(self.width), self._axes(3))
        return op.Add(op.Mul(states, turns[0]), op.Mul(op.Concat(op.Neg(second), first, axis=3), turns[1]))

    def _attention(self, layer, states, pasts, turns, bias) -> tuple[ir.Value, list[ir.Value]]:
        op, name = self.op, f"model.layers.{layer}.self_attn"
        query = self._turned(self._split(self._times(states, f"{name}.q_proj"), self.heads), turns)
        key = self._turned(self._split(self._times(states, f"{name}.k_proj"), self.kv_heads), turns)
        value = self._split(self._times(states, f"{name}.v_proj"), self.kv_heads)
        presents = []
        for kind, past, new in zip(("key", "value"), pasts, (key, value), strict=True):
            present = op.Concat(past, new, axis=2)
            called = self._cache(self.style.present, layer, kind, "past + tokens")
            present.name, present.dtype, present.shape = called.name, called.dtype, called.shape
            presents.append(present)
        groups = op.Reshape(query, self._axes(0, self.kv_heads, self.heads // self.kv_heads, -1, self.width))
        keys, values = (op.Unsqueeze(present, self._axes(2)) for present in presents)
        scores = op.Mul(op.MatMul(groups, op.Transpose(keys, perm=[0, 1, 2, 4, 3])), self._number(self.width**-0.5))
        mixed = op.MatMul(op.Softmax(op.Add(scores, bias), axis=-1), values)
        flat = op.Transpose(op.Reshape(mixed, self._axes(0, self.heads, -1, self.width)), perm=[0, 2, 1, 3])
        together = op.Reshape(flat, self._axes(0, 0, self.heads * self.width))
        return self._times(together, f"{name}.o_proj"), presents

    def _feed_forward(self, layer: int, states: ir.Value) -> ir.Value:
        op, name = self.op, f"model.layers.{layer}.mlp"
        gate = self._times(states, f"{name}.gate_proj")
        lifted = op.Mul(op.Mul(gate, op.Sigmoid(gate)), self._times(states, f"{name}.up_proj"))
        return self._times(lifted, f"{name}.down_proj")

    def _logits(self, states: ir.Value) -> ir.Value:
        if self.style.tied:
            logits = self.op.MatMul(states, self.op.Transpose(self._weight("model.embed_tokens"), perm=[1, 0]))
        else:
            logits = self._times(states, "lm_head")
        logits.name, logits.dtype = "logits", ir.DataType.FLOAT
        logits.shape = ir.Shape(["batch", "tokens", self.config["vocab_size"]])
        return logits
