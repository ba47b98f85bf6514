"""A tiny random model with a given configuration, in which windows and rotary borders take effect early.

A window of 4,096 tokens, or rotary factors for 128,000, have no effect within a hundred tokens. In the copy they do, so
a converter that ignores them is found within a second, before any weight is read.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
import transformers

from edgedraft.exporter.equality.reference import source_class
from edgedraft.runtime.base.tokenizer_files import TEXT_FILES

BORDER = 24
"""Windows, and the lengths behind which rotary factors change, in tokens."""

_WIDTH, _CONTEXT, _MOST_LAYERS, _EXPERTS = 128, 512, 8, 4
_VOCABULARY = 509  # a prime: the builder knows the head by this size, which no other matrix may have
_SIZES = {
    "intermediate_size": _WIDTH,
    "moe_intermediate_size": _WIDTH,
    "shared_intermediate_size": _WIDTH,
    "ffn_hidden_size": _WIDTH,
    "num_local_experts": _EXPERTS,
    "num_experts": _EXPERTS,
    "num_experts_per_tok": 2,
    "experts_per_token": 2,
}
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "image_token_id", "image_token_index")
_GAIN = 1.5  # random matrices of this gain let every layer count


def write_tiny_copy(folder: Path, output: Path) -> None:
    """Write a tiny random model with the configuration in ``folder`` to ``output``, with the tokenizer's files."""
    config = transformers.AutoConfig.from_pretrained(folder)
    shrink(config.get_text_config())
    if config.get_text_config() is not config:
        _fit_tokens(config)
    config.dtype = torch.float32
    torch.manual_seed(0)
    named = source_class(config)
    make = getattr(named, "from_config", None) or named._from_config
    model = make(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _fill(name, parameter)
    model.save_pretrained(output)
    for file in TEXT_FILES:
        if (folder / file).is_file():
            shutil.copyfile(folder / file, output / file)


def _fill(name: str, parameter: torch.Tensor) -> None:
    """Draw random values for a parameter: matrices scaled by width, norms near their initial value, small biases."""
    if parameter.dim() >= 2:
        parameter.normal_(0.0, _GAIN / parameter.shape[-1] ** 0.5)
    elif name.endswith("weight"):
        parameter.add_(torch.randn_like(parameter) * 0.1)
    else:
        parameter.normal_(0.0, 0.3)


def shrink(config: Any) -> None:
    """Make the configuration of a text model tiny, in place, and keep its architecture."""
    _shrink_layers(config)
    _shrink_heads(config)
    for name, size in _SIZES.items():
        if isinstance(getattr(config, name, None), int) and getattr(config, name) > 0:
            setattr(config, name, min(getattr(config, name), size))
    config.vocab_size = min(config.vocab_size, _VOCABULARY)
    _fit_tokens(config)
    _bring_borders_close(config)


def _shrink_layers(config: Any) -> None:
    """Keep enough layers to have one of each kind, and shorten settings that are listed by layer."""
    count = config.num_hidden_layers
    listed = {name: value for name, value in vars(config).items() if isinstance(value, list) and len(value) == count}
    needed = [max(map(values.index, set(map(_hashable, values)))) + 1 for values in listed.values() if values]
    layers = min(count, max(2, *needed, 2), _MOST_LAYERS)
    for name, values in listed.items():
        setattr(config, name, values[:layers])
    config.num_hidden_layers = layers
    if isinstance(getattr(config, "max_window_layers", None), int):
        config.max_window_layers = min(config.max_window_layers, layers)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int | str | float | bool | type(None)) else repr(value)


def _shrink_heads(config: Any) -> None:
    """Reduce the number of heads; keep the head size, and whether heads share keys and values."""
    heads = config.num_attention_heads
    shared = heads // (getattr(config, "num_key_value_heads", None) or heads)
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    pairs = 1 if heads == shared else 2
    config.num_attention_heads = pairs * min(shared, 2)
    if getattr(config, "num_key_value_heads", None) is not None:
        config.num_key_value_heads = pairs
    own = getattr(config, "head_dim", None) is not None
    config.hidden_size = _WIDTH if own else size * config.num_attention_heads


def _fit_tokens(config: Any) -> None:
    """Limit the ids of special tokens to the tiny vocabulary."""
    for name in _TOKENS:
        value = getattr(config, name, None)
        if isinstance(value, int):
            setattr(config, name, min(value, _VOCABULARY - 1))
        elif isinstance(value, list):
            setattr(config, name, [min(each, _VOCABULARY - 1) for each in value])


def _bring_borders_close(config: Any) -> None:
    """Set windows, and the lengths beyond which rotary factors change, to `BORDER` tokens."""
    if getattr(config, "sliding_window", None):
        config.sliding_window = min(config.sliding_window, BORDER)
    rope = getattr(config, "rope_parameters", None) or {}
    records = [rope, *(each for each in rope.values() if isinstance(each, dict))]
    stretch = 1.0
    for record in records:
        original = record.get("original_max_position_embeddings")
        if original:
            stretch = config.max_position_embeddings / original
            record["original_max_position_embeddings"] = min(original, BORDER)
    if getattr(config, "original_max_position_embeddings", None):
        config.original_max_position_embeddings = min(config.original_max_position_embeddings, BORDER)
    longest = config.max_position_embeddings
    config.max_position_embeddings = min(longest, max(round(stretch * BORDER), _CONTEXT))
