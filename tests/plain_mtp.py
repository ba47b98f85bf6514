"""Multi-token-prediction heads in each family's form, with random weights, and their layers in plain torch.

Written from the families' published descriptions and transformers' `MtpModel`; nothing of edgedraft is used.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn.functional import linear, silu

from tests.plain_eagle import EPSILON, HEAD_SIZE, HEADS, HIDDEN, INTER, KV_HEADS, VOCAB

TARGET_LAYERS = 2
SIZES = {
    "hidden_size": HIDDEN,
    "intermediate_size": INTER,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD_SIZE,
    "num_hidden_layers": TARGET_LAYERS,
    "rms_norm_eps": EPSILON,
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "vocab_size": VOCAB,
}


@dataclass(frozen=True, kw_only=True)
class Family:
    """How a family names the tensors of its head, and what its layer does besides attention and feed-forward.

    ``outer``: the prefix of the four tensors around the layer; ``inner``: that of the layer itself.
    """

    config: Mapping[str, object]
    outer: str
    inner: str
    token_norm: str
    state_norm: str
    join: str
    last_norm: str
    copies: tuple[str, ...] = ()
    biases: tuple[str, ...] = ()
    gated: bool = False
    head_norms: bool = False
    one_plus: bool = False
    state_first: bool = False
    blank_first: bool = False
    rotated: int = HEAD_SIZE
    theta: float = 10000.0
    entering: tuple[int, ...] = field(default=())


_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
FAMILIES = {
    "Qwen 3.5": Family(
        config={
            "architectures": ["Qwen3_5ForConditionalGeneration"],
            "text_config": {
                **SIZES,
                "mtp_num_hidden_layers": 1,
                "mtp_use_dedicated_embeddings": False,
                "rope_parameters": {"rope_type": "default", "rope_theta": 5e4, "partial_rotary_factor": 0.5},
            },
        },
        outer="mtp.",
        inner="mtp.layers.0.",
        token_norm="pre_fc_norm_embedding",
        state_norm="pre_fc_norm_hidden",
        join="fc",
        last_norm="norm",
        gated=True,
        head_norms=True,
        one_plus=True,
        rotated=HEAD_SIZE // 2,
        theta=5e4,
    ),
    "DeepSeek": Family(
        config={**SIZES, "architectures": ["LlamaForCausalLM"], "num_nextn_predict_layers": 1, "rope_theta": 1e4},
        outer=f"model.layers.{TARGET_LAYERS}.",
        inner=f"model.layers.{TARGET_LAYERS}.",
        token_norm="enorm",
        state_norm="hnorm",
        join="eh_proj",
        last_norm="shared_head.norm",
        copies=("shared_head.head", "embed_tokens"),
    ),
    "MiMo": Family(
        config={**SIZES, "architectures": ["Qwen2ForCausalLM"], "num_nextn_predict_layers": 1, "rope_theta": 2e4},
        outer="model.mtp_layers.0.",
        inner="model.mtp_layers.0.",
        token_norm="token_layernorm",
        state_norm="hidden_layernorm",
        join="input_proj",
        last_norm="final_layernorm",
        biases=_QKV,
        state_first=True,
        blank_first=True,
        theta=2e4,
        entering=(TARGET_LAYERS,),
    ),
}
KINDS = tuple(FAMILIES)


def random_head(family: Family, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """The head's tensors by the family's own names."""
    rng = torch.Generator().manual_seed(seed)
    attended, grouped = HEADS * HEAD_SIZE, KV_HEADS * HEAD_SIZE
    products = {
        f"{family.inner}self_attn.q_proj": (attended * (1 + family.gated), HIDDEN),
        f"{family.inner}self_attn.k_proj": (grouped, HIDDEN),
        f"{family.inner}self_attn.v_proj": (grouped, HIDDEN),
        f"{family.inner}self_attn.o_proj": (HIDDEN, attended),
        f"{family.inner}mlp.gate_proj": (INTER, HIDDEN),
        f"{family.inner}mlp.up_proj": (INTER, HIDDEN),
        f"{family.inner}mlp.down_proj": (HIDDEN, INTER),
        f"{family.outer}{family.join}": (HIDDEN, 2 * HIDDEN),
        **{f"{family.outer}{name}": (VOCAB, HIDDEN) for name in family.copies},
    }
    norms = {f"{family.outer}{name}": HIDDEN for name in (family.token_norm, family.state_norm, family.last_norm)}
    norms |= {f"{family.inner}{name}": HIDDEN for name in ("input_layernorm", "post_attention_layernorm")}
    if family.head_norms:
        norms |= {f"{family.inner}self_attn.{part}_norm": HEAD_SIZE for part in "qk"}
    state = {f"{name}.weight": torch.randn(shape, generator=rng) / shape[1] ** 0.5 for name, shape in products.items()}
    middle = 0.0 if family.one_plus else 1.0
    state |= {f"{name}.weight": middle + 0.3 * torch.randn(size, generator=rng) for name, size in norms.items()}
    for name in family.biases:
        rows = len(state[f"{family.inner}{name}.weight"])
        state[f"{family.inner}{name}.bias"] = 0.3 * torch.randn(rows, generator=rng)
    return {name: tensor.to(dtype) for name, tensor in state.items()}


def save_head(folder: Path, family: Family, state: Mapping[str, torch.Tensor] | None = None, **config: object) -> Path:
    """Write a folder that holds the head alone, with the configuration of its target changed by ``config``."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(random_head(family) if state is None else state), folder / "model.safetensors")
    stated = copy.deepcopy(dict(family.config))
    for name, value in config.items():
        nest = stated["text_config"] if name not in stated and "text_config" in stated else stated
        nest[name] = value
    (folder / "config.json").write_text(json.dumps(stated))
    return folder


class PlainMtp:
    """One head in torch, with keys and values of all rows read; a row's position is its index.

    ``table`` and ``head``: the target's.
    """

    def __init__(self, family: Family, state: Mapping[str, torch.Tensor], table: np.ndarray, head: np.ndarray) -> None:
        self.family = family
        self.w = {name.removeprefix(family.inner): tensor.float() for name, tensor in state.items()}
        self.w |= {
            name.removeprefix(family.outer): tensor.float()
            for name, tensor in state.items()
            if not name.startswith(family.inner) or family.inner == family.outer
        }
        self.table, self.head = (torch.from_numpy(np.asarray(each)) for each in (table, head))
        self.keys = self.values = torch.zeros(0, KV_HEADS, HEAD_SIZE)
        self.speeds = family.theta ** (-torch.arange(0, family.rotated, 2, dtype=torch.float64) / family.rotated)

    def fuse(self, features: np.ndarray) -> np.ndarray:
        """A head reads the target's state itself."""
        return features

    def read(self, token_ids: list[int], states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Append rows; return logits (rows, vocab) and the states (rows, hidden) for the next draft step."""
        embedded = self.table[token_ids].clone()
        if self.family.blank_first and not len(self.keys):
            embedded[0] = 0
        token = self._norm(embedded, self.family.token_norm)
        state = self._norm(torch.from_numpy(states), self.family.state_norm)
        joined = linear(
            torch.cat([state, token] if self.family.state_first else [token, state], -1),
            self.w[f"{self.family.join}.weight"],
        )
        mixed = joined + self._attention(self._norm(joined, "input_layernorm"))
        lifted = self._norm(mixed, "post_attention_layernorm")
        gate = silu(self._product(lifted, "mlp.gate_proj")) * self._product(lifted, "mlp.up_proj")
        out = self._norm(mixed + self._product(gate, "mlp.down_proj"), self.family.last_norm)
        return linear(out, self.head).numpy(), out.numpy()

    def rewind(self, length: int) -> None:
        self.keys, self.values = self.keys[:length], self.values[:length]

    def _attention(self, rows: torch.Tensor) -> torch.Tensor:
        first, count = len(self.keys), len(rows)
        places = torch.arange(first, first + count, dtype=torch.float64)
        query, key, value = (self._product(rows, name).view(count, -1, HEAD_SIZE) for name in _QKV)
        opened = torch.ones(())
        if self.family.gated:  # a head's query and its gate stand one behind the other
            query, gate = query.reshape(count, HEADS, 2 * HEAD_SIZE).chunk(2, -1)
            opened = gate.sigmoid()
        if self.family.head_norms:
            query, key = self._norm(query, "self_attn.q_norm"), self._norm(key, "self_attn.k_norm")
        self.keys = torch.cat([self.keys, self._turned(key, places)])
        self.values = torch.cat([self.values, value])
        keys, values = (each.repeat_interleave(HEADS // KV_HEADS, 1) for each in (self.keys, self.values))
        scores = torch.einsum("qhd,khd->hqk", self._turned(query, places), keys) * HEAD_SIZE**-0.5
        behind = torch.arange(len(self.keys))[None] > places[:, None]
        weights = scores.masked_fill(behind, -torch.inf).softmax(-1)
        found = torch.einsum("hqk,khd->qhd", weights, values) * opened
        return self._product(found.reshape(count, -1), "self_attn.o_proj")

    def _turned(self, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        angles = (places[:, None] * self.speeds)[:, None]
        cosines, sines = angles.cos().float(), angles.sin().float()
        turned, still = rows[..., : self.family.rotated], rows[..., self.family.rotated :]
        first, second = turned.chunk(2, -1)
        return torch.cat([first * cosines - second * sines, second * cosines + first * sines, still], -1)

    def _norm(self, rows: torch.Tensor, name: str) -> torch.Tensor:
        scaled = rows * torch.rsqrt(rows.pow(2).mean(-1, keepdim=True) + EPSILON)
        return scaled * (self.w[f"{name}.weight"] + float(self.family.one_plus))

    def _product(self, rows: torch.Tensor, name: str) -> torch.Tensor:
        return linear(rows, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))
