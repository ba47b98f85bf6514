"""Rotary factors and windows in a GGUF file that transformers drops when it unpacks the file."""

from collections.abc import Sequence

from edgedraft.exporter.models.gguf_header import GgufHeader

_FACTORS = ("rope_freqs.", "rope_factors_")
_SCALINGS = ("rope.scaling.type", "rope.scaling.factor", "rope.scale_linear")
_NEUTRAL = ("none", 0, 1)
_WINDOW, _CONTEXT = "attention.sliding_window", "context_length"
_SCALED, _WINDOWED = ("gpt-oss",), ("gpt-oss", "gemma2", "gemma3")
"""Architectures whose scaling and whose window transformers reads."""


def dropped_positions(architecture: str, headers: Sequence[GgufHeader]) -> str | None:
    """Return the key or tensor that would be lost when the file of these ``headers`` (its parts) is unpacked, or None.

    Source: transformers 5, ``integrations/ggml.py`` and ``modeling_gguf_pytorch_utils.py``.
    """
    if architecture not in _SCALED:
        tensors = (tensor.name for header in headers for tensor in header.tensors)
        if (name := next((name for name in tensors if name.startswith(_FACTORS)), None)) is not None:
            return name
    facts = headers[0].metadata
    scalings = () if architecture in _SCALED else _SCALINGS
    for key in (f"{architecture}.{name}" for name in scalings):
        if facts.get(key, 1) not in _NEUTRAL:
            return key
    window = facts.get(f"{architecture}.{_WINDOW}", 0)
    bounded = isinstance(window, int) and 0 < window < facts.get(f"{architecture}.{_CONTEXT}", window + 1)
    return f"{architecture}.{_WINDOW}" if bounded and architecture not in _WINDOWED else None
