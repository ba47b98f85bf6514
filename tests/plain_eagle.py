"""EAGLE checkpoints in each trainer's format, with random weights, and their layers in plain torch.

Written from the papers and the trainers' own descriptions; nothing of edgedraft is used.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import linear, silu

HIDDEN, HEADS, KV_HEADS, HEAD_SIZE, INTER, VOCAB, KEPT = 128, 4, 2, 32, 192, 1024, 256
EPSILON = 1e-5

_FLAT = {
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": INTER,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "num_hidden_layers": 1,
    "rms_norm_eps": EPSILON,
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "vocab_size": VOCAB,
}


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """The format of a trainer's checkpoints, and the rules of their layer.

    ``head`` and ``table``: whether they are stored or the target's are used. ``norms``: those before the fusing
    product. ``entering``: the layers whose inputs are tapped, whatever numbers ``config`` uses for them.
    """

    config: Mapping[str, object]
    prefix: str = "midlayer."
    eagle3: bool = True
    head: bool = True
    table: bool = False
    norms: tuple[str, ...] = ()
    biases: tuple[str, ...] = ()
    residual_normed: bool = False
    head_normed: bool = True
    feeds_back_normed: bool = False
    entering: tuple[int, ...] | None = (0, 1, 1)
    theta: float = 10000.0
    file: str = "model.safetensors"
    dtype: torch.dtype = torch.float32
    llama3: Mapping[str, float] = field(default_factory=dict)
    yarn: Mapping[str, float] = field(default_factory=dict)
    head_norms: bool = False


_OUTPUTS = {"eagle_config": {"use_aux_hidden_state": True, "eagle_aux_hidden_state_layer_ids": [-1, 0, 0]}}
_NESTED = {"transformer_layer_config": {**_FLAT, "head_dim": HEAD_SIZE}, "draft_vocab_size": KEPT}
_ENTERING = {"eagle_aux_hidden_state_layer_ids": [0, 1, 1]}
_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
TRAINERS = {
    "SafeAILab EAGLE-3": Trainer(
        config={**_FLAT, "draft_vocab_size": KEPT, "architectures": ["LlamaForCausalLMEagle3"]},
        entering=None,
        file="pytorch_model.bin",
        dtype=torch.float16,
    ),
    "SpecForge": Trainer(
        config={**_FLAT, **_OUTPUTS, "draft_vocab_size": KEPT, "head_dim": HEAD_SIZE, "rope_theta": 5e5}, theta=5e5
    ),
    "SpecForge, EAGLE-3.1": Trainer(
        config={**_FLAT, **_OUTPUTS, "draft_vocab_size": None, "fc_norm": True, "norm_output": False},
        norms=("fc_norm",),
        head=False,
        head_normed=False,
        dtype=torch.bfloat16,
    ),
    "AngelSlim": Trainer(
        config={
            **_FLAT,
            **_OUTPUTS,
            "draft_vocab_size": KEPT,
            "tie_word_embeddings": True,
            "rope_scaling": _LLAMA3,
            "target_hidden_size": HIDDEN,
        },
        llama3=_LLAMA3,
    ),
    "SpecForge, Qwen 3": Trainer(
        config={**_FLAT, **_OUTPUTS, "draft_vocab_size": KEPT, "head_dim": HEAD_SIZE, "architectures": ["Qwen3Eagle3"]},
        head_norms=True,
    ),
    "SpecForge, YaRN": Trainer(
        config={**_FLAT, **_OUTPUTS, "draft_vocab_size": KEPT, "head_dim": HEAD_SIZE, "rope_scaling": _YARN}, yarn=_YARN
    ),
    "speculators, Eagle3Speculator": Trainer(
        config={**_NESTED, **_ENTERING, "architectures": ["Eagle3Speculator"], "norm_before_residual": True},
        prefix="layers.0.",
        table=True,
        residual_normed=True,
    ),
    "speculators, Eagle3DraftModel": Trainer(
        config={
            **_NESTED,
            **_ENTERING,
            "architectures": ["Eagle3DraftModel"],
            "norm_before_fc": True,
            "fc_norm": True,
            "norm_output": True,
        },
        prefix="layers.0.",
        norms=("input_norm", "fc_norm"),
        feeds_back_normed=True,
    ),
    "EAGLE-1": Trainer(
        config={**_FLAT, "bias": True},
        prefix="layers.0.",
        eagle3=False,
        head=False,
        table=True,
        biases=("fc",),
        head_normed=False,
        entering=(),
        file="pytorch_model.bin",
    ),
    "EAGLE-2, Qwen": Trainer(
        config={**_FLAT, "qkv_bias": True, "tie_word_embeddings": True},
        prefix="layers.0.",
        eagle3=False,
        head=False,
        biases=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        head_normed=False,
        entering=(),
    ),
}
KINDS = tuple(TRAINERS)


def random_state(trainer: Trainer, seed: int = 0) -> dict[str, torch.Tensor]:
    """The checkpoint's tensors by the trainer's own names."""
    rng = torch.Generator().manual_seed(seed)
    read, fused = (2 * HIDDEN, 3 * HIDDEN) if trainer.eagle3 else (HIDDEN, 2 * HIDDEN)
    products = {
        "self_attn.q_proj": (HEADS * HEAD_SIZE, read),
        "self_attn.k_proj": (KV_HEADS * HEAD_SIZE, read),
        "self_attn.v_proj": (KV_HEADS * HEAD_SIZE, read),
        "self_attn.o_proj": (HIDDEN, HEADS * HEAD_SIZE),
        "mlp.gate_proj": (INTER, HIDDEN),
        "mlp.up_proj": (INTER, HIDDEN),
        "mlp.down_proj": (HIDDEN, INTER),
    }
    norms = {f"{trainer.prefix}post_attention_layernorm": HIDDEN}
    if trainer.eagle3:
        norms |= {f"{trainer.prefix}{name}": HIDDEN for name in ("input_layernorm", "hidden_norm")} | {"norm": HIDDEN}
    if "input_norm" in trainer.norms:
        norms["input_norm"] = fused
    if "fc_norm" in trainer.norms:
        norms |= {f"fc_norm.{tap}": HIDDEN for tap in range(3)}
    shapes = {trainer.prefix + name: shape for name, shape in products.items()} | {"fc": (HIDDEN, fused)}
    if trainer.head:
        shapes["lm_head"] = (KEPT, HIDDEN)
    if trainer.table:
        shapes["embed_tokens"] = (VOCAB, HIDDEN)
    if trainer.head_norms:
        norms |= {f"{trainer.prefix}self_attn.{part}_norm": HEAD_SIZE for part in "qk"}
    state = {f"{name}.weight": torch.randn(shape, generator=rng) / shape[1] ** 0.5 for name, shape in shapes.items()}
    state |= {f"{name}.weight": 1 + 0.3 * torch.randn(size, generator=rng) for name, size in norms.items()}
    for name in trainer.biases:
        whole = name if name == "fc" else trainer.prefix + name
        state[f"{whole}.bias"] = 0.3 * torch.randn(len(state[f"{whole}.weight"]), generator=rng)
    state = {name: tensor.to(trainer.dtype) for name, tensor in state.items()}
    if trainer.head:
        ids = torch.randperm(VOCAB, generator=rng)[:KEPT].sort().values
        marks = torch.zeros(VOCAB, dtype=torch.bool)
        marks[ids] = True
        state |= {"d2t": ids - torch.arange(KEPT), "t2d": marks}
    return state


def save_checkpoint(folder: Path, trainer: Trainer, state: Mapping[str, torch.Tensor] | None = None) -> Path:
    """Write the checkpoint to ``folder``, as its trainer does."""
    folder.mkdir(parents=True, exist_ok=True)
    state = dict(random_state(trainer) if state is None else state)
    (torch.save if trainer.file.endswith(".bin") else save_file)(state, folder / trainer.file)
    (folder / "config.json").write_text(json.dumps(dict(trainer.config)))
    return folder


def saved_state(folder: Path, trainer: Trainer) -> dict[str, torch.Tensor]:
    """The tensors in ``folder`` by the trainer's names."""
    path = folder / trainer.file
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)


class PlainEagle:
    """One EAGLE layer in torch, with keys and values of all rows read; a row's position is its index.

    ``table`` and ``head``: the target's, if the checkpoint has none.
    """

    def __init__(self, folder: Path, trainer: Trainer, table: np.ndarray, head: np.ndarray) -> None:
        state = saved_state(folder, trainer)
        self.w = {name.removeprefix(trainer.prefix): tensor.float() for name, tensor in state.items()}
        self.trainer = trainer
        self.table = self.w.get("embed_tokens.weight", torch.from_numpy(np.asarray(table)))
        self.head = self.w.get("lm_head.weight", torch.from_numpy(np.asarray(head)))
        heads = (len(self.w[f"self_attn.{part}_proj.weight"]) // HEAD_SIZE for part in "qk")
        self.heads, self.kv_heads = heads
        self.keys = self.values = torch.zeros(0, self.kv_heads, HEAD_SIZE)
        self.speeds = trainer.theta ** (-torch.arange(0, HEAD_SIZE, 2, dtype=torch.float64) / HEAD_SIZE)
        if trainer.llama3:
            self.speeds = self._slowed(trainer.llama3)
        if trainer.yarn:
            self.speeds = self._interpolated(trainer.yarn)
        self.sharper = 0.1 * math.log(trainer.yarn["factor"]) + 1 if trainer.yarn else 1.0

    def fuse(self, features: np.ndarray) -> np.ndarray:
        """The layer's own states (rows, hidden) from the target's (rows, width)."""
        rows = torch.from_numpy(features)
        if not self.trainer.eagle3:
            return features
        if "input_norm" in self.trainer.norms:
            rows = self._norm(rows, "input_norm")
        if "fc_norm" in self.trainer.norms:
            parts = rows.chunk(3, -1)
            rows = torch.cat([self._norm(part, f"fc_norm.{tap}") for tap, part in enumerate(parts)], -1)
        return self._product(rows, "fc").numpy()

    def read(self, token_ids: list[int], states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Append rows; return logits (rows, kept) and the states (rows, hidden) for the next draft step."""
        embedded, state = self.table[token_ids], torch.from_numpy(states)
        if self.trainer.eagle3:
            normed = self._norm(state, "hidden_norm")
            entering = torch.cat([self._norm(embedded, "input_layernorm"), normed], -1)
            residual = normed if self.trainer.residual_normed else state
        else:
            entering = residual = self._product(torch.cat([embedded, state], -1), "fc")
        mixed = residual + self._product(self._attention(entering), "self_attn.o_proj")
        lifted = self._norm(mixed, "post_attention_layernorm")
        gate = silu(self._product(lifted, "mlp.gate_proj")) * self._product(lifted, "mlp.up_proj")
        out = mixed + self._product(gate, "mlp.down_proj")
        normed = self._norm(out, "norm") if self.trainer.eagle3 else out
        logits = linear(normed if self.trainer.head_normed else out, self.head)
        return logits.numpy(), (normed if self.trainer.feeds_back_normed else out).numpy()

    def rewind(self, length: int) -> None:
        self.keys, self.values = self.keys[:length], self.values[:length]

    def _attention(self, rows: torch.Tensor) -> torch.Tensor:
        first, count = len(self.keys), len(rows)
        places = torch.arange(first, first + count, dtype=torch.float64)
        query, key, value = (
            self._product(rows, f"self_attn.{name}_proj").view(count, -1, HEAD_SIZE) for name in ("q", "k", "v")
        )
        if self.trainer.head_norms:
            query, key = self._norm(query, "self_attn.q_norm"), self._norm(key, "self_attn.k_norm")
        self.keys = torch.cat([self.keys, self._turned(key, places)])
        self.values = torch.cat([self.values, value])
        group = self.heads // self.kv_heads
        keys, values = (each.repeat_interleave(group, 1) for each in (self.keys, self.values))
        scores = torch.einsum("qhd,khd->hqk", self._turned(query, places), keys) * HEAD_SIZE**-0.5
        behind = torch.arange(len(self.keys))[None] > places[:, None]
        weights = scores.masked_fill(behind, -torch.inf).softmax(-1)
        return torch.einsum("hqk,khd->qhd", weights, values).reshape(count, -1)

    def _turned(self, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        angles = (places[:, None] * self.speeds)[:, None]
        cosines, sines = (angles.cos() * self.sharper).float(), (angles.sin() * self.sharper).float()
        first, second = rows.chunk(2, -1)
        return torch.cat([first * cosines - second * sines, second * cosines + first * sines], -1)

    def _slowed(self, scaling: Mapping[str, float]) -> torch.Tensor:
        """Llama 3.1's rule, wave by wave."""
        longest = scaling["original_max_position_embeddings"] / scaling["low_freq_factor"]
        shortest = scaling["original_max_position_embeddings"] / scaling["high_freq_factor"]
        speeds = []
        for speed in self.speeds.tolist():
            wave = 2 * torch.pi / speed
            share = (scaling["original_max_position_embeddings"] / wave - scaling["low_freq_factor"]) / (
                scaling["high_freq_factor"] - scaling["low_freq_factor"]
            )
            slow = speed / scaling["factor"]
            speeds.append(speed if wave < shortest else slow if wave > longest else (1 - share) * slow + share * speed)
        return torch.tensor(speeds, dtype=torch.float64)

    def _interpolated(self, scaling: Mapping[str, float]) -> torch.Tensor:
        """YaRN's rule: between 32 turns in the original context and one, pair by pair, from kept to divided."""
        length, pairs = scaling["original_max_position_embeddings"], HEAD_SIZE // 2
        place = [pairs * math.log(length / (turns * 2 * math.pi)) / math.log(self.trainer.theta) for turns in (32, 1)]
        first, last = max(math.floor(place[0]), 0), math.ceil(place[1])
        share = ((torch.arange(pairs, dtype=torch.float64) - first) / (last - first)).clamp(0, 1)
        return self.speeds * (1 - share) + self.speeds / scaling["factor"] * share

    def _norm(self, rows: torch.Tensor, name: str) -> torch.Tensor:
        return rows * torch.rsqrt(rows.pow(2).mean(-1, keepdim=True) + EPSILON) * self.w[f"{name}.weight"]

    def _product(self, rows: torch.Tensor, name: str) -> torch.Tensor:
        return linear(rows, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))
