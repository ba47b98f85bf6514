"""Tiny random models of every family that we say works, made into ONNX by onnxruntime-genai's model builder.

GPT-2, which the builder does not know, is traced by torch.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.loading import LOGITS, load_graph
from edgedraft.exporter.models import worker_build

VOCAB, HIDDEN, HEAD_SIZE, WINDOW = 1024, 128, 32, 32
GRAPH = "model.onnx"

COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": HIDDEN,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": HIDDEN // HEAD_SIZE,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}


@dataclass(frozen=True, kw_only=True)
class Family:
    """Its name in transformers, and what its configuration says besides the sizes that all share."""

    model_type: str
    settings: dict[str, object] = field(default_factory=dict)


GPT2 = "GPT-2"
FAMILIES = {
    "Llama": Family(model_type="llama", settings={"tie_word_embeddings": False}),
    "SmolLM": Family(model_type="llama", settings={"tie_word_embeddings": True}),
    "SmolLM 3": Family(model_type="smollm3", settings={"no_rope_layers": [1, 1]}),
    "Qwen 2": Family(model_type="qwen2", settings={"tie_word_embeddings": True}),
    "Qwen 3": Family(model_type="qwen3", settings={"head_dim": HEAD_SIZE, "tie_word_embeddings": True}),
    "Gemma 2": Family(
        model_type="gemma2", settings={"head_dim": HEAD_SIZE, "sliding_window": WINDOW, "final_logit_softcapping": 3.0}
    ),
    "Gemma 3": Family(model_type="gemma3_text", settings={"head_dim": HEAD_SIZE, "sliding_window": WINDOW}),
    "Phi 2": Family(model_type="phi", settings={"num_key_value_heads": HIDDEN // HEAD_SIZE}),
    "Phi 3": Family(model_type="phi3", settings={"original_max_position_embeddings": 256}),
    "Mistral": Family(model_type="mistral", settings={"sliding_window": None}),
    "Granite": Family(model_type="granite", settings={"logits_scaling": 8.0, "embedding_multiplier": 12.0}),
    GPT2: Family(model_type="gpt2", settings={"tie_word_embeddings": True}),
}


def build(name: str, folder: Path, precision: str = "fp32") -> Path:
    """The family's graph, built once a ``folder``; a head and an embedding that are one stay so.

    ``precision`` is the builder's own: fp32, fp16 or int4.
    """
    graph = folder / f"{name}-{precision}" / GRAPH
    if not graph.is_file():
        made = checkpoint(name, folder)
        with quiet():
            (_trace if name == GPT2 else _build)(made, graph.parent, precision)
    return graph


def checkpoint(name: str, folder: Path) -> Path:
    """The family's model and tokenizer as transformers saves them, made once a ``folder``."""
    path = folder / name
    if not path.is_dir():
        with quiet():
            _save_checkpoint(FAMILIES[name], path)
    return path


def open_family(graph: Path) -> ir.Model:
    """The graph with its weights in memory."""
    return ir.external_data.load_to_model(load_graph(graph))


def feed(model: ir.Model, rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random ids of ``rows`` positions and an empty cache, for whatever inputs the graph has."""
    ids = np.random.default_rng([seed, rows]).integers(2, VOCAB, (1, rows))
    has_room = any(node.op_type == "GroupQueryAttention" for node in model.graph)  # it writes into a buffer
    return {str(value.name): _fed(value, ids, WINDOW if has_room else 0) for value in model.graph.inputs}


def _fed(value: ir.Value, ids: np.ndarray, capacity: int) -> np.ndarray:
    assert value.shape is not None and value.dtype is not None
    if value.name == "input_ids":
        return ids
    if value.name == "attention_mask":
        return np.ones_like(ids)
    if value.name == "position_ids":
        return np.arange(ids.size)[None]
    return np.zeros((1, value.shape[1], capacity, HEAD_SIZE), value.dtype.numpy())


def _save_checkpoint(family: Family, folder: Path) -> None:
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[family.model_type](**(COMMON | family.settings))).float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0.0, 1.5 / parameter.shape[1] ** 0.5)
    model.save_pretrained(folder)
    save_tokenizer(folder)


def save_tokenizer(folder: Path) -> None:
    """Save a tokenizer of words, one for each token."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {f"word{number}": number for number in range(VOCAB)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="word2"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="word0", eos_token="word1").save_pretrained(folder)


def _build(checkpoint: Path, output: Path, precision: str) -> None:
    worker_build.build(checkpoint, output, precision, options=())


def _trace(checkpoint: Path, output: Path, precision: str) -> None:
    """Without a cache: what is looked at here is the head. Unfolded, a tied head stays behind its Transpose."""
    import torch
    from transformers import AutoModelForCausalLM

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
            if precision == "fp16":
                self.model = self.model.half()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits

    output.mkdir(parents=True)
    ids = torch.arange(5)[None]
    torch.onnx.export(
        Logits(),
        (ids, torch.ones_like(ids)),
        output / GRAPH,
        dynamo=False,
        opset_version=17,
        do_constant_folding=False,
        input_names=["input_ids", "attention_mask"],
        output_names=[LOGITS],
        dynamic_axes={name: {1: "rows"} for name in ("input_ids", "attention_mask", LOGITS)},
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The builder and its libraries print and log a great deal."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
