"""An EAGLE-3 layer in torch as trainers have it, with the chained passes of a training-time test.

Written from the papers: a state of the target enters once, then the layer reads its own. SpecForge's names.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

HIDDEN, HEADS, KV_HEADS, HEAD_SIZE, INTERMEDIATE, TAPS = 1536, 12, 2, 128, 4096, 3
THETA, EPSILON, VOCAB = 1e6, 1e-6, 151936
TAPPED_OUTPUTS = [1, 13, 24]
"""Outputs of layers, as SpecForge counts them: what enters layers 2, 14 and 25."""
RATE = 4e-4


class Norm(nn.Module):
    """A root-mean-square norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, rows: Tensor) -> Tensor:
        """Normalise along the last axis, in float32."""
        wide = rows.float()
        return wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPSILON) * self.weight


def _product(rows: int, columns: int) -> nn.Linear:
    return nn.Linear(columns, rows, bias=False)


class Attention(nn.Module):
    """Projections of the layer's attention; queries, keys and values read token and state side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj = _product(HEADS * HEAD_SIZE, 2 * HIDDEN)
        self.k_proj = _product(KV_HEADS * HEAD_SIZE, 2 * HIDDEN)
        self.v_proj = _product(KV_HEADS * HEAD_SIZE, 2 * HIDDEN)
        self.o_proj = _product(HIDDEN, HEADS * HEAD_SIZE)


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = _product(INTERMEDIATE, HIDDEN), _product(INTERMEDIATE, HIDDEN)
        self.down_proj = _product(HIDDEN, INTERMEDIATE)

    def forward(self, rows: Tensor) -> Tensor:
        """Return down(silu(gate(rows)) · up(rows))."""
        return self.down_proj(silu(self.gate_proj(rows)) * self.up_proj(rows))


class MidLayer(nn.Module):
    """The one decoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm, self.hidden_norm = Norm(HIDDEN), Norm(HIDDEN)
        self.post_attention_layernorm = Norm(HIDDEN)
        self.self_attn, self.mlp = Attention(), FeedForward()


class Drafter(nn.Module):
    """The layer with its fusing product; the head is the target's, and not a part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = _product(HIDDEN, TAPS * HIDDEN)
        self.fc_norm = nn.ModuleList([Norm(HIDDEN) for _ in range(TAPS)])
        self.midlayer, self.norm = MidLayer(), Norm(HIDDEN)

    def fused(self, features: Tensor) -> Tensor:
        """Return the first states, (batch, tokens, hidden), of features (batch, tokens, taps · hidden)."""
        parts = [norm(part) for norm, part in zip(self.fc_norm, features.chunk(TAPS, -1), strict=True)]
        return self.fc(torch.cat(parts, -1)).float()

    def step(self, embedded: Tensor, states: Tensor, past: list[tuple[Tensor, Tensor]], skip: int = 0) -> Tensor:
        """Return the states after one more draft of all rows but the first ``skip``, which only give keys and values.

        A row sees the first pass's rows up to itself, and its own rows of the passes since; ``past`` grows by this
        pass. Only a text's first pass skips rows, and later passes get its result.
        """
        layer, depth, attention = self.midlayer, len(past), self.midlayer.self_attn
        first = past[0][0].shape[2] - states.shape[1] if past else 0
        read = torch.cat([layer.input_layernorm(embedded), layer.hidden_norm(states)], -1)
        key = _turned(_heads(attention.k_proj(read), KV_HEADS), first + depth)
        past.append((key, _heads(attention.v_proj(read), KV_HEADS)))
        query = _turned(_heads(attention.q_proj(read[:, skip:]), HEADS), first + depth + skip)
        states = states[:, skip:] + attention.o_proj(_attended(query, past)).float()
        return states + layer.mlp(layer.post_attention_layernorm(states)).float()

    def logits(self, states: Tensor, head: Tensor) -> Tensor:
        """Score the rows of ``head``, (tokens, hidden)."""
        return linear(self.norm(states), head).float()


def _heads(rows: Tensor, heads: int) -> Tensor:
    return rows.unflatten(-1, (heads, HEAD_SIZE)).transpose(1, 2)


def _turned(heads: Tensor, first: int) -> Tensor:
    """Turn queries or keys by their positions, which count from ``first``."""
    speeds = THETA ** (-torch.arange(0, HEAD_SIZE, 2).float() / HEAD_SIZE)
    angles = (torch.arange(heads.shape[2]).float() + first)[:, None] * speeds
    one, other = heads.float().chunk(2, -1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([one * cosine - other * sine, other * cosine + one * sine], -1).to(heads.dtype)


def _attended(query: Tensor, past: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Attend over the first pass causally, and over the later passes along the diagonal."""
    group, rows, tokens = HEADS // KV_HEADS, query.shape[2], past[0][0].shape[2]
    keys = [key.repeat_interleave(group, 1) for key, _ in past]
    values = [value.repeat_interleave(group, 1) for _, value in past]
    scores = (query @ keys[0].transpose(2, 3)).float() * HEAD_SIZE**-0.5
    later = torch.ones(rows, tokens, dtype=torch.bool).triu(1 + tokens - rows)
    scores = scores.masked_fill(later, float("-inf"))
    own = [(query * key).sum(-1, keepdim=True).float() * HEAD_SIZE**-0.5 for key in keys[1:]]
    weights = torch.cat([scores, *own], -1).softmax(-1).to(query.dtype)
    mixed = weights[..., :tokens] @ values[0]
    for place, value in enumerate(values[1:]):
        mixed = mixed + weights[..., tokens + place, None] * value
    return mixed.transpose(1, 2).flatten(2)
