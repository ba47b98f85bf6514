"""genai_config.json from config.json and the graph, and back: the settings that engines read beside a graph."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir

from edgedraft.exporter.graph.loading import LOGITS, in_place, past_and_present, vocabulary_width
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.signature import cache_slot

MODEL_CONFIG_NAME = "config.json"

# Settings by the names of Hugging Face, and what genai_config.json calls them.
_MODEL_KEYS = {
    "model_type": "type",
    "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length",
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "pad_token_id": "pad_token_id",
}
_DECODER_KEYS = {
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_hidden_layers",
    "num_attention_heads": "num_attention_heads",
    "num_key_value_heads": "num_key_value_heads",
    "head_dim": "head_size",
}

# What each setting is called in the configurations of different models.
_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx")
_HIDDEN = ("hidden_size", "n_embd", "d_model")
_HEADS = ("num_attention_heads", "n_head", "n_heads")


def genai_settings(folder: Path, model: ir.Model, graph_name: str) -> dict[str, Any]:
    """Return the settings that onnxruntime-genai and we read beside ``model``, which lies in ``graph_name``.

    Raises `EdgedraftError` where config.json or the graph lacks one of them.
    """
    config = _configuration(folder)
    end = config.get("eos_token_id")
    require(end is not None, f"{folder}: no eos_token_id in {MODEL_CONFIG_NAME}", remedy="add generation_config.json")
    first = end[0] if isinstance(end, list) else end
    caches = past_and_present(model)
    require(bool(caches), f"{folder}: the graph has no past", remedy="export a decoder with past")
    return {
        "model": {
            "type": str(config["model_type"]),
            "vocab_size": vocabulary_width(model),
            "context_length": int(_first(folder, config, _CONTEXT)),
            "bos_token_id": _or(config.get("bos_token_id"), first),
            "eos_token_id": end,
            "pad_token_id": _or(config.get("pad_token_id"), first),
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "filename": graph_name,
                "hidden_size": int(_first(folder, config, _HIDDEN)),
                "num_attention_heads": int(_first(folder, config, _HEADS)),
                **_shape(caches),
                **_names(model, caches),
            },
        },
        "search": {
            "do_sample": False,
            "max_length": int(_first(folder, config, _CONTEXT)),
            "past_present_share_buffer": all(in_place(past, present) for past, present in caches),
        },
    }


def model_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json that engines for Hugging Face folders, such as Optimum's, ask for beside a graph.

    ``settings`` are those of genai_config.json. It says enough to feed the graph, which holds all else itself; not
    enough to build the model anew.
    """
    model = settings["model"]
    parts = [(_MODEL_KEYS, model), (_DECODER_KEYS, model["decoder"])]
    return {name: values[key] for names, values in parts for name, key in names.items() if key in values}


def _configuration(folder: Path) -> Mapping[str, Any]:
    """Merge config.json, its text part where it has one, and generation_config.json; later ones win."""
    file = folder / MODEL_CONFIG_NAME
    require(
        holds_file(file),
        f"{folder}: neither genai_config.json nor {MODEL_CONFIG_NAME}",
        remedy="give the whole model folder",
    )
    config = read_json(file)
    generation = folder / "generation_config.json"
    chosen = read_json(generation) if holds_file(generation) else {}
    tokens = {key: value for key, value in chosen.items() if key.endswith("_token_id") and value is not None}
    return {**config, **(config.get("text_config") or {}), "model_type": config.get("model_type", "decoder"), **tokens}


def _first(folder: Path, config: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        if config.get(key) is not None:
            return config[key]
    raise EdgedraftError(f"{folder}/{MODEL_CONFIG_NAME}: no {keys[0]}", remedy="give the model's own configuration")


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _shape(caches: list[tuple[ir.Value, ir.Value]]) -> dict[str, int]:
    """Return layers, heads and head size, taken from the past itself."""
    past = caches[0][0]
    assert past.shape is not None
    heads, size = past.shape[1], past.shape[3]
    assert isinstance(heads, int) and isinstance(size, int)
    return {"num_hidden_layers": len(caches) // 2, "num_key_value_heads": heads, "head_size": size}


def _names(model: ir.Model, caches: list[tuple[ir.Value, ir.Value]]) -> dict[str, dict[str, str]]:
    """Return the names of inputs and outputs; ``%d`` stands for the layer."""
    inputs = {str(value.name): str(value.name) for value in model.graph.inputs if cache_slot(str(value.name)) is None}
    outputs = {"logits": LOGITS}
    for past, present in caches:
        slot = cache_slot(str(past.name))
        assert slot is not None
        inputs.setdefault(f"past_{slot[1]}_names", _any_layer(past))
        outputs.setdefault(f"present_{slot[1]}_names", _any_layer(present))
    return {"inputs": inputs, "outputs": outputs}


def _any_layer(value: ir.Value) -> str:
    return re.sub(r"\d+", "%d", str(value.name))
