"""Logits of the source model in transformers, computed in float32."""

import gc
from collections.abc import Iterator, Sequence
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
    """Return the class that config.json names, or the one that transformers uses for causal language models."""
    named = (getattr(config, "architectures", None) or ["AutoModelForCausalLM"])[0]
    return getattr(transformers, named, transformers.AutoModelForCausalLM)


def source_logits(folder: Path, token_ids: Sequence[int], switch_length: int | None, *, whole: bool) -> Logits:
    """Return float32 logits (tokens, vocab) of the model in ``folder``; row i is that of a text of i + 1 tokens.

    The weights keep their data type, and each layer is converted to float32 while it computes. With ``whole`` the model
    is loaded in float32, which takes at least twice the memory. If the model computes texts longer than
    ``switch_length`` differently, shorter texts are computed separately.
    """
    model = _opened(folder, whole=whole)
    logits = _logits(model, token_ids)
    if switch_length is not None and switch_length < len(token_ids):
        logits[:switch_length] = _logits(model, token_ids[:switch_length])
    del model
    gc.collect()  # the hooks and their blocks refer to each other, and what comes next needs the memory
    return logits


def _opened(folder: Path, *, whole: bool) -> Any:
    config = transformers.AutoConfig.from_pretrained(folder)
    model = source_class(config).from_pretrained(folder, dtype=torch.float32 if whole else "auto").eval()
    for block in _blocks(model):
        _widen_while_it_runs(block)
    return model


def _blocks(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """Yield the modules to convert to float32 one at a time: the layers, and other modules that hold weights."""
    for child in module.children():
        if isinstance(child, torch.nn.ModuleList):
            yield from child
        elif next(child.parameters(recurse=False), None) is not None:
            yield child
        else:
            yield from _blocks(child)


def _widen_while_it_runs(block: torch.nn.Module) -> None:
    """Convert the weights of ``block`` to float32 before it runs, and drop the converted weights afterwards."""
    narrow: dict[torch.Tensor, torch.Tensor] = {}

    def widen(*_: object) -> None:
        for parameter in block.parameters():
            if parameter.is_floating_point() and parameter.dtype != torch.float32:
                narrow[parameter] = parameter.data
                parameter.data = parameter.data.float()

    def restore(*_: object) -> None:
        while narrow:
            parameter, numbers = narrow.popitem()
            parameter.data = numbers

    block.register_forward_pre_hook(widen)
    block.register_forward_hook(restore, always_call=True)


def _logits(model: Any, token_ids: Sequence[int]) -> Logits:
    with torch.no_grad():
        logits: Logits = model(input_ids=torch.tensor([list(token_ids)]), use_cache=False).logits[0].float().numpy()
    return logits


def checked_ids(folder: Path, count: int) -> list[int]:
    """Return ``count`` tokens to compare with: a text with its special tokens, followed by random tokens."""
    config = transformers.AutoConfig.from_pretrained(folder).get_text_config()
    rng = np.random.default_rng(0)
    width = int(config.vocab_size)
    text = [token_id for token_id in text_ids(folder, _TEXT)[: count // 2] if token_id < width]
    drawn = rng.integers(min(3, width - 1), width, count - len(text))
    return [*text, *(int(token_id) for token_id in drawn)]


def text_ids(folder: Path, text: str) -> list[int]:
    """Return the tokens of ``text`` with the special tokens that transformers' tokenizer adds.

    Returns an empty list if ``folder`` holds no tokenizer.
    """
    if not any(folder.glob("tokenizer*")):
        return []
    return list(transformers.AutoTokenizer.from_pretrained(folder)(text).input_ids)
