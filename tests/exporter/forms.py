"""The tested forms of families: a tiny random model of each, whose text has many different tokens."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.exporter.families import COMMON, HEAD_SIZE, HIDDEN, WINDOW, quiet, save_tokenizer

LAYERS = ["sliding_attention", "full_attention"]
BORDER = 64
"""The original length of a model with LongRoPE: longer texts are rotated by other factors."""

LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0 + 0.02 * number for number in range(HEAD_SIZE // 2)],
    "long_factor": [1.5 + 0.2 * number for number in range(HEAD_SIZE // 2)],
    "original_max_position_embeddings": BORDER,
}
# Queries are scaled by their position behind the original length, and the builder leaves that out: texts end there.
MINISTRAL = YARN | {
    "llama_4_scaling_beta": 0.1,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "original_max_position_embeddings": 192,
}

_HEADS = {"head_dim": HEAD_SIZE}
_GEMMA = _HEADS | {"sliding_window": WINDOW, "query_pre_attn_scalar": HEAD_SIZE, "layer_types": LAYERS}
_TOWER = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "image_size": 28,
    "patch_size": 14,
}
_PIXTRAL = _TOWER | {"model_type": "pixtral", "head_dim": 32}
_DELTA = {
    "num_hidden_layers": 4,
    "linear_key_head_dim": HEAD_SIZE,
    "linear_value_head_dim": HEAD_SIZE,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e4,
        "partial_rotary_factor": 0.5,
        "mrope_interleaved": True,
        "mrope_section": [4, 2, 2],
    },
}
_SMALL_TOWER = {
    "depth": 1,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_heads": 1,
    "out_hidden_size": HIDDEN,
    "num_position_embeddings": 16,
}
# Norms of Gemma that would level what attention and the feed-forward find, so that a text soon repeats one token.
_ENLARGED = ("post_feedforward_layernorm", "q_norm")
_DENSE = {"num_local_experts": 0, "shared_intermediate_size": 128, "layer_types": ["attention", "attention"]}


@dataclass(frozen=True, kw_only=True)
class Form:
    """A model class of transformers and its settings; with ``tower`` the settings are those of its text part."""

    model_type: str
    settings: dict[str, object] = field(default_factory=dict)
    tower: dict[str, object] | None = None


FORMS = {
    ("Llama", "plain"): Form(model_type="llama", settings={"tie_word_embeddings": False}),
    ("Llama", "tied"): Form(model_type="llama", settings={"tie_word_embeddings": True}),
    ("Llama", "linear rope"): Form(model_type="llama", settings={"rope_parameters": LINEAR}),
    ("Llama", "YaRN"): Form(model_type="llama", settings={"rope_parameters": YARN}),
    ("Llama", "llama3 rope"): Form(model_type="llama", settings={"rope_parameters": LLAMA3}),
    ("Mistral", "plain"): Form(model_type="mistral", settings={"sliding_window": None}),
    ("Mistral", "windows"): Form(model_type="mistral", settings={"sliding_window": WINDOW}),
    ("Mistral 3", "plain"): Form(
        model_type="mistral3", settings=_HEADS | {"model_type": "mistral", "sliding_window": None}, tower=_PIXTRAL
    ),
    ("Mistral 3", "Ministral"): Form(
        model_type="mistral3",
        settings=_HEADS | {"model_type": "ministral3", "rope_parameters": MINISTRAL},
        tower=_PIXTRAL,
    ),
    ("Qwen 2", "plain"): Form(model_type="qwen2", settings={"tie_word_embeddings": False}),
    ("Qwen 2", "tied"): Form(model_type="qwen2", settings={"tie_word_embeddings": True}),
    ("Qwen 2", "windows"): Form(
        model_type="qwen2", settings={"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}
    ),
    ("Qwen 2", "YaRN"): Form(model_type="qwen2", settings={"rope_parameters": YARN}),
    ("Qwen 3", "plain"): Form(model_type="qwen3", settings=_HEADS),
    ("Qwen 3.5", "recurrent"): Form(
        model_type="qwen3_5", settings=_HEADS | _DELTA | {"tie_word_embeddings": False}, tower=_SMALL_TOWER
    ),
    ("LFM2", "recurrent"): Form(
        model_type="lfm2",
        settings={
            "num_hidden_layers": 4,
            "layer_types": ["conv", "full_attention", "conv", "conv"],
            "block_auto_adjust_ff_dim": False,
        },
    ),
    ("Gemma", "plain"): Form(model_type="gemma", settings=_HEADS),
    ("Gemma 2", "windows"): Form(model_type="gemma2", settings=_GEMMA | {"final_logit_softcapping": 30.0}),
    ("Gemma 3", "windows"): Form(model_type="gemma3_text", settings=_GEMMA),
    ("Gemma 3", "linear rope"): Form(
        model_type="gemma3_text",
        settings=_GEMMA
        | {
            "rope_parameters": {
                "full_attention": LINEAR | {"rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            }
        },
    ),
    ("Gemma 3", "text part"): Form(model_type="gemma3", settings=_GEMMA, tower=_TOWER),
    ("Phi 2", "plain"): Form(model_type="phi", settings={"num_key_value_heads": 4}),
    ("Phi 3", "plain"): Form(model_type="phi3", settings={"sliding_window": None}),
    ("Phi 3", "windows"): Form(model_type="phi3", settings={"sliding_window": WINDOW}),
    ("Phi 3", "longrope"): Form(model_type="phi3", settings={"rope_parameters": LONGROPE, "sliding_window": None}),
    ("Granite", "plain"): Form(
        model_type="granite",
        settings={
            "logits_scaling": 0.5,
            "embedding_multiplier": 12.0,
            "attention_multiplier": 0.2,
            "residual_multiplier": 0.5,
        },
    ),
    ("Granite 4", "plain"): Form(model_type="granitemoehybrid", settings=_DENSE | {"position_embedding_type": "rope"}),
    ("Granite 4", "NoPE"): Form(model_type="granitemoehybrid", settings=_DENSE | {"position_embedding_type": "nope"}),
    ("SmolLM 3", "plain"): Form(model_type="smollm3", settings={"no_rope_layers": [1, 1]}),
    ("SmolLM 3", "NoPE"): Form(model_type="smollm3", settings={"num_hidden_layers": 4, "no_rope_layers": [1, 1, 1, 0]}),
    ("OLMo", "plain"): Form(model_type="olmo", settings={"tie_word_embeddings": False}),
    ("Nemotron", "plain"): Form(model_type="nemotron"),
    ("GPT-OSS", "plain"): Form(
        model_type="gpt_oss",
        settings=_HEADS
        | {"sliding_window": WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2, "rope_parameters": YARN},
    ),
    ("Ernie 4.5", "plain"): Form(model_type="ernie4_5", settings=_HEADS),
    ("HunYuan", "plain"): Form(model_type="hunyuan_v1_dense", settings=_HEADS),
}
"""Every form by its family's name in `edgedraft.exporter.models.families` and its own."""


def save_form(form: Form, folder: Path) -> Any:
    """Save a random model of the form and a tokenizer in ``folder``; return the model."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

    torch.manual_seed(0)
    with quiet():
        if form.tower is None:
            config = CONFIG_MAPPING[form.model_type](**(COMMON | form.settings))
            model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
        else:
            parts = {"text_config": COMMON | form.settings, "vision_config": form.tower}
            config = CONFIG_MAPPING[form.model_type](**parts)
            model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager").float().eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                _spread(name, parameter, tied=bool(config.get_text_config().tie_word_embeddings))
        model.save_pretrained(folder)
        save_tokenizer(folder)
    return model


def _spread(name: str, parameter: Any, *, tied: bool) -> None:
    """Draw a parameter so that logits differ clearly, norms and biases do not cancel, and no token just repeats."""
    if parameter.dim() == 1:
        larger = 2.0 if any(part in name for part in _ENLARGED) else 0.0
        parameter.add_(parameter.clone().normal_(larger, 0.2))
        return
    scale = 1.5
    if "lm_head" in name:
        scale = 4.0
    elif "embed" in name and tied:
        scale = 0.3  # the head's rows are the same: with large ones every token would be followed by itself
    parameter.normal_(0.0, scale / parameter.shape[1] ** 0.5)
