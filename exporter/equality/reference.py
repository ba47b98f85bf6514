"""The source as transformers computes it: a model folder opened in float32, and its logits for some tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from edgedraft.runtime.base.arrays import Logits

_TEXT = (
    "The quick brown fox jumps over the lazy dog, and 42 more. def area(radius: float) -> float:\n"
    "    return 3.14159 * radius ** 2\n\nÜber die Brücke; où est-il? 你好, мир."
)


def source_class(config: Any) -> Any:
    """Return the class that config.json names, or the one that transformers takes for causal language models."""
    named = (getattr(config, "architectures", None) or ["AutoModelForCausalLM"])[0]
    return getattr(transformers, named, transformers.AutoModelForCausalLM)


def source_logits(folder: Path, token_ids: Sequence[int], switch_length: int | None) -> Logits:
    """Return float32 logits (tokens, vocab) of the model in ``folder``; row i is that of a text of i + 1 tokens.

    A model that computes texts longer than ``switch_length`` otherwise is run for both kinds.
    """
    config = transformers.AutoConfig.from_pretrained(folder)
    model = source_class(config).from_pretrained(folder, dtype=torch.float32).eval()
    whole = _logits(model, token_ids)
    if switch_length is not None and switch_length < len(token_ids):
        whole[:switch_length] = _logits(model, token_ids[:switch_length])
    return whole


def _logits(model: Any, token_ids: Sequence[int]) -> Logits:
    with torch.inference_mode():
        logits: Logits = model(input_ids=torch.tensor([list(token_ids)]), use_cache=False).logits[0].float().numpy()
    return logits


def checked_ids(folder: Path, count: int) -> list[int]:
    """Return ``count`` tokens to compare with: a text with its special tokens, and random ones behind it."""
    config = transformers.AutoConfig.from_pretrained(folder).get_text_config()
    rng = np.random.default_rng(0)
    width = int(config.vocab_size)
    text: list[int] = []
    if any(folder.glob("tokenizer*")):
        text = list(transformers.AutoTokenizer.from_pretrained(folder)(_TEXT).input_ids)[: count // 2]
    text = [token_id for token_id in text if token_id < width]
    drawn = rng.integers(min(3, width - 1), width, count - len(text))
    return [*text, *(int(token_id) for token_id in drawn)]
