"""Targets that carry a multi-token-prediction head which agrees with them often, by construction and without training.

Each target has two layers. Its first layer adds little and its token embedding has rows of unit size, so the second
layer reads nearly the tokens themselves. A head with the second layer's weights then predicts nearly what the target
does; the state takes part by a small random matrix.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

from edgedraft.exporter.models.mtp.reading import read_mtp
from edgedraft.exporter.models.worker_build import build
from tests.exporter.families import quiet, save_tokenizer
from tests.laws.agreeing_eagle import BorrowingPair, assembled_pair
from tests.plain_eagle import HIDDEN
from tests.plain_mtp import FAMILIES, SIZES, TARGET_LAYERS

_ENDS = {"tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 1}
_TOWER = {
    "depth": 1,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_heads": 1,
    "out_hidden_size": HIDDEN,
    "num_position_embeddings": 16,
}
_RECURRENT = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "mtp_num_hidden_layers": 1,
    "mtp_use_dedicated_embeddings": False,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 5e4,
        "partial_rotary_factor": 0.5,
        "mrope_interleaved": True,
        "mrope_section": [4, 2, 2],
    },
}
TYPES = {"Qwen 3.5": "qwen3_5", "DeepSeek": "llama", "MiMo": "qwen2"}
"""The model type of each form's target; that of Qwen 3.5 has a recurrent layer."""


def _target(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "Qwen 3.5":
        parts = {"text_config": SIZES | _ENDS | _RECURRENT, "vision_config": _TOWER}
        return AutoModelForImageTextToText.from_config(CONFIG_MAPPING["qwen3_5"](**parts, tie_word_embeddings=False))
    theta = {"rope_theta": FAMILIES[kind].theta, "num_nextn_predict_layers": 1}
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[TYPES[kind]](**SIZES, **_ENDS, **theta))


def save_with_head(folder: Path, kind: str, mixed: float = 0.0) -> dict[str, torch.Tensor]:
    """Write a target as transformers does, its head among its tensors; return all tensors by their stored names.

    ``mixed``: the size of the random matrix that lets the state take part.
    """
    with quiet():
        model = _target(kind).float()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                _spread(name, weight)
        model.save_pretrained(folder)
        save_tokenizer(folder)
    state = load_file(folder / "model.safetensors")
    state |= head_of(kind, state, mixed)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    assert (config.get("text_config") or config)["rope_parameters"]["rope_theta"] == FAMILIES[kind].theta
    return state


def _spread(name: str, weight: torch.Tensor) -> None:
    if weight.dim() == 2:
        adds = name.endswith(("o_proj.weight", "out_proj.weight", "down_proj.weight"))
        scale = 4.0 if "lm_head" in name else 0.05 if adds and "layers.0." in name else 1.5
        weight.normal_(0.0, scale / weight.shape[1] ** 0.5)
    if "embed_tokens" in name:
        weight.div_(weight.pow(2).mean(-1, keepdim=True).sqrt())
    if name.endswith(("q_proj.bias", "k_proj.bias", "v_proj.bias")):
        weight.normal_(0.0, 0.2)


def head_of(kind: str, state: dict[str, torch.Tensor], mixed: float) -> dict[str, torch.Tensor]:
    """The second layer, reading the token and, ``mixed`` in, the state; the last norm is the target's."""
    family, last = FAMILIES[kind], f"layers.{TARGET_LAYERS - 1}."
    head = {family.inner + name.split(last)[1]: tensor.clone() for name, tensor in state.items() if last in name}
    noise = mixed * torch.randn(HIDDEN, HIDDEN, generator=torch.Generator().manual_seed(3)) / HIDDEN**0.5
    parts = [noise, torch.eye(HIDDEN)] if family.state_first else [torch.eye(HIDDEN), noise]
    ones = torch.zeros(HIDDEN) if family.one_plus else torch.ones(HIDDEN)
    (norm,) = (
        tensor for name, tensor in state.items() if name.endswith(("model.norm.weight", "language_model.norm.weight"))
    )
    outer = {family.join: torch.cat(parts, 1), family.token_norm: ones, family.state_norm: ones.clone()}
    outer |= {family.last_norm: norm.clone()}
    outer |= {name: state[_named_as(state, name)].clone() for name in family.copies}
    return head | {f"{family.outer}{name}.weight": tensor for name, tensor in outer.items()}


def _named_as(state: dict[str, torch.Tensor], copy: str) -> str:
    ending = "lm_head.weight" if copy.endswith("head") else "embed_tokens.weight"
    return next(name for name in state if name.endswith(ending))


def open_with_head(root: Path, kind: str, context_length: int = 128, mixed: float = 0.1) -> BorrowingPair:
    """Save, convert and open a target, and its head as the drafter."""
    checkpoint = root / kind.replace(" ", "-")
    weights = save_with_head(checkpoint, kind, mixed)
    with quiet():
        build(checkpoint, checkpoint / "built")
    read = read_mtp(checkpoint, kind)
    return assembled_pair(read, checkpoint / "built" / "model.onnx", checkpoint, weights, context_length)
