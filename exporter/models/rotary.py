"""Rotary tables as transformers computes them, for any kind of factors that it knows."""

from typing import Any

import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS


def inverse_frequencies(config: Any, layer_type: str, *, long: bool) -> tuple[torch.Tensor, float]:
    """Return the inverse frequencies (rotated / 2,) for a layer type, and the factor of cosines and sines.

    ``long`` asks for the factors beyond the original length, which differ in LongRoPE. Raises `NotImplementedError` for
    a kind of factors that transformers does not know.
    """
    rope = config.rope_parameters
    kind = layer_type if layer_type in rope else None  # Gemma 3 has a record for each kind of layer
    values = rope[kind] if kind else rope
    name = values.get("rope_type", "default")
    if name == "default":
        width = int(_head_size(config) * values.get("partial_rotary_factor", 1.0))
        exponents = torch.arange(0, width, 2, dtype=torch.int64).float() / width
        return 1.0 / values["rope_theta"] ** exponents, 1.0
    if name not in ROPE_INIT_FUNCTIONS:
        raise NotImplementedError(f"rotary factors of the kind {name} are not known")
    length = values["original_max_position_embeddings"] + 1 if long else None
    frequencies, factor = ROPE_INIT_FUNCTIONS[name](config, torch.device("cpu"), seq_len=length, layer_type=kind)
    return frequencies, float(factor)


def rotary_tables(config: Any, layer_type: str, rows: int, *, long: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines, each (rows, rotated), of positions 0 to ``rows`` - 1."""
    frequencies, factor = inverse_frequencies(config, layer_type, long=long)
    angles = torch.outer(torch.arange(rows, dtype=torch.int64).float(), frequencies).repeat(1, 2)
    return angles.cos() * factor, angles.sin() * factor


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
