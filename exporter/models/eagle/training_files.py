"""Training data for an EAGLE-3 drafter in the offline format of SpecForge, and the configuration of such a drafter.

Each example is a file of tensors: the tokens of a prompt and its answer, which of them are the answer's, and the
target's states at each of them. Source: SpecForge, scripts/prepare_hidden_states.py.
"""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.exporter.graph.eagle.checkpoint import TargetShape
from edgedraft.exporter.models.convert import OnnxFolder
from edgedraft.exporter.models.gguf_header import read_gguf_header
from edgedraft.exporter.models.sources import GGUF, HUGGING_FACE, ModelSource
from edgedraft.exporter.vocab.torch_files import write_torch
from edgedraft.runtime.base.arrays import Float32Array
from edgedraft.runtime.base.files import read_json

FILES_PER_FOLDER = 5000
_EPSILON, _THETA, _WIDENING = 1e-6, 10000.0, 4


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingExample:
    """A prompt with its answer, and the states at each token of both, float32 (tokens, width).

    ``tapped``: the states that enter the tapped layers, side by side; ``final``: those after the final norm.
    """

    prompt_ids: Sequence[int]
    answer_ids: Sequence[int]
    tapped: Float32Array
    final: Float32Array


def example_path(folder: Path, number: int) -> Path:
    """Return the file of an example; trainers read every ``.ckpt`` below ``folder``."""
    first = number // FILES_PER_FOLDER * FILES_PER_FOLDER
    return folder / f"rows_{first}-{first + FILES_PER_FOLDER}" / f"data_{number}.ckpt"


def is_written(path: Path) -> bool:
    """Return whether an example was written whole."""
    return path.is_file() and zipfile.is_zipfile(path)


def write_example(path: Path, example: TrainingExample) -> None:
    """Write an example atomically, states as bfloat16: what trainers compute in, with room for the largest states."""
    prompt, answer = len(example.prompt_ids), len(example.answer_ids)
    tensors = {
        "input_ids": np.array([*example.prompt_ids, *example.answer_ids], dtype=np.int64),
        "loss_mask": np.repeat(np.array([0, 1], dtype=np.int64), [prompt, answer]),
        "hidden_state": example.final[None],
        "aux_hidden_state": example.tapped[None],
    }
    write_torch(path, tensors, bfloat16=True)


def drafter_config(
    folder: OnnxFolder, shape: TargetShape, taps: Sequence[int], draft_vocab_size: int
) -> dict[str, Any]:
    """Return the config.json of an untrained EAGLE-3 drafter in SpecForge's form: one layer as wide as the target's.

    Where the target's files do not state its feed-forward width, norm or rotary base, Llama's usual values stand in: a
    drafter is trained for its own.
    """
    model = read_json(folder.path / "genai_config.json")["model"]
    decoder, stated = model["decoder"], _stated(folder.source)
    return {
        "architectures": ["LlamaForCausalLMEagle3"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "target_hidden_size": shape.hidden,
        "intermediate_size": int(stated.get("intermediate_size") or _WIDENING * shape.hidden),
        "num_attention_heads": decoder["num_attention_heads"],
        "num_key_value_heads": decoder["num_key_value_heads"],
        "head_dim": decoder["head_size"],
        "num_hidden_layers": 1,
        "hidden_act": "silu",
        "rms_norm_eps": float(stated.get("rms_norm_eps") or _EPSILON),
        "rope_theta": float(stated.get("rope_theta") or _THETA),
        "max_position_embeddings": model["context_length"],
        "vocab_size": shape.vocab_size,
        "draft_vocab_size": draft_vocab_size,
        "attention_bias": False,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "eagle_config": {
            "use_aux_hidden_state": True,
            # SpecForge names the layer whose output is read, which is the one before.
            "eagle_aux_hidden_state_layer_ids": [tap - 1 for tap in taps],
        },
    }


def _stated(source: ModelSource) -> Mapping[str, Any]:
    """Return what the target's own files say of its layers; empty for an ONNX folder."""
    if source.kind == HUGGING_FACE:
        config = read_json(source.path / "config.json")
        text = config.get("text_config") or config
        rope = text.get("rope_parameters") or {}
        return {"rope_theta": rope.get("rope_theta"), **text}
    if source.kind == GGUF:
        metadata = read_gguf_header(source.path).metadata
        layers = f"{metadata['general.architecture']}."
        names = {
            "intermediate_size": "feed_forward_length",
            "rms_norm_eps": "attention.layer_norm_rms_epsilon",
            "rope_theta": "rope.freq_base",
        }
        return {key: metadata.get(layers + name) for key, name in names.items()}
    return {}
