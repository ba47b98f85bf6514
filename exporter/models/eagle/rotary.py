"""Compute rotary speeds from a configuration: the radians per position of each pair of a head's values."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgedraft.exporter.models.eagle.config_values import ConfigValues
from edgedraft.runtime.base.arrays import Float64Array
from edgedraft.runtime.base.records import require

_BASE = 10000.0
_KNOWN = ("default", "linear", "dynamic", "llama3")


def rotary_speeds(config: ConfigValues, head_size: int) -> Float64Array:
    """Return radians per position, (head_size / 2,), the fastest first.

    The settings are read from both places that transformers uses: ``rope_theta`` with ``rope_scaling``, and
    ``rope_parameters``. Dynamic scaling has no effect, because texts here stay within ``max_position_embeddings``.
    """
    settings = {**config.group("rope_scaling"), **config.group("rope_parameters")}
    kind = settings.get("rope_type") or settings.get("type") or "default"
    require(kind in _KNOWN, f"{config.path}: rope_type: expected one of {', '.join(_KNOWN)}", got=repr(kind))
    for where in (settings.get("partial_rotary_factor"), config.value("partial_rotary_factor")):
        require(where in (None, 1), f"{config.path}: partial_rotary_factor: expected 1", got=where)
    stated = settings.get("rope_theta") or config.value("rope_theta")
    base = _BASE if stated is None else config.positive("rope_theta", stated)
    speeds = base ** (-np.arange(0, head_size, 2, dtype=np.float64) / head_size)
    if kind == "linear":
        return speeds / config.positive("factor", settings.get("factor"))
    return _llama3(config, settings, speeds) if kind == "llama3" else speeds


def _llama3(config: ConfigValues, settings: Mapping[str, Any], speeds: Float64Array) -> Float64Array:
    """Return Llama 3.1's speeds: slow ones divided by the factor, fast ones kept, those between interpolated."""
    factor, low, high, length = (
        config.positive(key, settings.get(key))
        for key in ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    )
    require(high > low, f"{config.path}: high_freq_factor: expected more than low_freq_factor", got=high)
    turns = length * speeds / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    blended: Float64Array = kept * speeds + (1 - kept) * speeds / factor
    return blended
