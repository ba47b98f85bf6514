"""Fields that clients send and this server does not have: values that change nothing, and fields without effect."""

from typing import Any

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "parallel_tool_calls": (True,),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    # Of llama.cpp's server and its web clients.
    "cache_prompt": (True,),
    "dry_multiplier": (0,),
    "dynatemp_range": (0,),
    "grammar": ("",),
    "id_slot": (-1,),
    "ignore_eos": (False,),
    "json_schema": ({},),
    "mirostat": (0,),
    "n_keep": (0,),
    "n_probs": (0,),
    "post_sampling_probs": (False,),
    "reasoning_format": ("none", "auto"),
    "repeat_penalty": (1,),
    "return_progress": (False,),
    "samplers": ("", []),
    "top_n_sigma": (-1,),
    "typical_p": (1,),
    "typ_p": (1,),
    "xtc_probability": (0,),
    # Of vLLM and others.
    "add_generation_prompt": (True,),
    "chat_template_kwargs": ({},),
    "length_penalty": (1,),
    "min_tokens": (0,),
    "skip_special_tokens": (True,),
    "use_beam_search": (False,),
}
"""By field, the values that change nothing. Any other value is refused by the field's name."""

WITHOUT_EFFECT = frozenset(
    (
        *("user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
        "timings_per_token",  # timings come with the last chunk
        # Numbers of methods that are switched off by another field.
        *("dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers", "dynatemp_exponent"),
        *("mirostat_tau", "mirostat_eta", "repeat_last_n", "xtc_threshold", "backend_sampling"),
    )
)
"""Fields that say nothing about the text of an answer."""
