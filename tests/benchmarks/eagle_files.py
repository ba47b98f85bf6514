"""Files of the training of a drafter: the target's token table, the state of the training, and the checkpoint."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from edgedraft.exporter.graph.blocks import Blocks, BlockScheme, dequantize
from edgedraft.exporter.graph.heads.tail import find_tail
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.sources import resolve
from tests.benchmarks.eagle_module import (
    EPSILON,
    HEAD_SIZE,
    HEADS,
    HIDDEN,
    INTERMEDIATE,
    KV_HEADS,
    RATE,
    TAPPED_OUTPUTS,
    THETA,
    VOCAB,
    Drafter,
)

_PIECE = 8192


def token_table(path: Path, target: str, precision: str) -> np.ndarray:
    """Return the rows of the target's head as deployed, (vocab, hidden) float16, which its token table shares."""
    if not path.is_file():
        cache = cache_folder(None)
        model = load_graph(convert(resolve(target, cache), precision, cache).graph)
        product = find_tail(model).product
        packed = [value.const_value.numpy() for value in product.inputs[1:4] if value is not None and value.const_value]
        scheme = BlockScheme(
            bits=product.attributes["bits"].as_int(),
            block_size=product.attributes["block_size"].as_int(),
            symmetric=len(packed) < 3,
            search=False,
        )
        table = np.empty((VOCAB, HIDDEN), dtype=np.float16)
        for start in range(0, VOCAB, _PIECE):
            values, scales, *points = (array[start : start + _PIECE] for array in packed)
            blocks = Blocks(values=values, scales=scales, zero_points=points[0] if points else None)
            table[start : start + _PIECE] = dequantize(blocks, scheme, HIDDEN)
        temporary = path.with_name("table.part.npy")
        np.save(temporary, table)
        temporary.replace(path)
    return np.load(path, mmap_mode="r")


def tokens_of(file: Path) -> int:
    """Return how many tokens an example has, without its states."""
    return len(torch.load(file, weights_only=True, mmap=True)["input_ids"])


def token_order(files: Sequence[Path], vocab_size: int) -> np.ndarray:
    """Return all tokens, those that the answers in these examples use most first, equal ones by their ids."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for file in files:
        data = torch.load(file, weights_only=True, mmap=True)
        np.add.at(counts, data["input_ids"][data["loss_mask"] == 1].numpy(), 1)
    return np.argsort(-counts, kind="stable")


def opened(folder: Path, start: Path | None, make: Callable[..., Any]) -> Any:
    """Return the training that ``folder`` keeps, or a new one from the weights of the checkpoint ``start``."""
    torch.manual_seed(0)
    drafter, kept = Drafter(), folder / "training.pt"
    if start is not None and not kept.is_file():
        drafter.load_state_dict(
            {name: weight.float() for name, weight in load_file(start / "model.safetensors").items()}
        )
    optimizer = torch.optim.AdamW(drafter.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    average = {name: weight.detach().clone() for name, weight in drafter.named_parameters()}
    if not kept.is_file():
        return make(drafter=drafter, average=average, optimizer=optimizer)
    state = torch.load(kept, weights_only=True)
    drafter.load_state_dict(state["drafter"])
    optimizer.load_state_dict(state["optimizer"])
    facts = {name: state[name] for name in ("average", "steps", "seen", "log")}
    return make(drafter=drafter, optimizer=optimizer, **facts)


def save(folder: Path, training: Any) -> None:
    """Keep the state of the training, and write the average of its weights as a checkpoint."""
    state = {"drafter": training.drafter.state_dict(), "optimizer": training.optimizer.state_dict()}
    state |= {name: getattr(training, name) for name in ("average", "steps", "seen", "log")}
    torch.save(state, folder / "training.part")
    os.replace(folder / "training.part", folder / "training.pt")
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(exist_ok=True)
    weights = {name: weight.bfloat16().contiguous() for name, weight in training.average.items()}
    save_file(weights, checkpoint / "model.part")
    os.replace(checkpoint / "model.part", checkpoint / "model.safetensors")
    (checkpoint / "config.json").write_text(json.dumps(_config(), indent=2) + "\n", encoding="utf-8")
    (folder / "log.json").write_text(json.dumps(training.log, indent=1) + "\n", encoding="utf-8")


def _config() -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLMEagle3"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "target_hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_SIZE,
        "num_hidden_layers": 1,
        "hidden_act": "silu",
        "vocab_size": VOCAB,
        "draft_vocab_size": None,
        "rms_norm_eps": EPSILON,
        "rope_theta": THETA,
        "max_position_embeddings": 32768,
        "attention_bias": False,
        "tie_word_embeddings": False,
        "fc_norm": True,
        "norm_output": True,
        "torch_dtype": "bfloat16",
        "eagle_config": {"use_aux_hidden_state": True, "eagle_aux_hidden_state_layer_ids": TAPPED_OUTPUTS},
    }
