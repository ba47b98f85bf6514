"""config.json beside a graph: what engines that read Hugging Face folders, such as Optimum's, ask before running it."""

from collections.abc import Mapping
from typing import Any

MODEL_CONFIG_NAME = "config.json"

_OF_THE_MODEL = {
    "model_type": "type",
    "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length",
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "pad_token_id": "pad_token_id",
}
_OF_THE_DECODER = {
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_hidden_layers",
    "num_attention_heads": "num_attention_heads",
    "num_key_value_heads": "num_key_value_heads",
    "head_dim": "head_size",
}


def model_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the graph that the genai ``settings`` describe, by Hugging Face's names.

    Enough to feed the graph, which holds all else itself; not enough to build the model anew.
    """
    model = settings["model"]
    found = [(_OF_THE_MODEL, model), (_OF_THE_DECODER, model["decoder"])]
    return {name: values[key] for names, values in found for name, key in names.items() if key in values}
