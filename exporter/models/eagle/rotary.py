"""Compute rotary speeds from a configuration: the radians per position of each pair of a head's values."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgedraft.exporter.models.eagle.config_values import ConfigValues
from edgedraft.runtime.base.arrays import Float64Array
from edgedraft.runtime.base.records import require

_BASE = 10000.0
_KNOWN = ("default", "linear", "dynamic", "llama3", "yarn")
_SHARE = "partial_rotary_factor"
_LONGEST, _FAST, _SLOW = "original_max_position_embeddings", "beta_fast", "beta_slow"


def rotary_speeds(config: ConfigValues, head_size: int, *, partial: bool = False) -> Float64Array:
    """Return radians per position, (head_size / 2,), the fastest first; fewer where ``partial`` heads are rotated.

    The settings are read from both places that transformers uses: ``rope_theta`` with ``rope_scaling``, and
    ``rope_parameters``. Dynamic scaling has no effect, because texts here stay within ``max_position_embeddings``.
    """
    settings, kind = _settings(config)
    require(kind in _KNOWN, f"{config.path}: rope_type: expected one of {', '.join(_KNOWN)}", got=repr(kind))
    shares = [settings.get(_SHARE), config.value(_SHARE)]
    share = next((each for each in shares if each is not None), 1)
    require(partial or share == 1, f"{config.path}: {_SHARE}: expected 1", got=share)
    head_size = int(head_size * config.positive(_SHARE, share))
    stated = settings.get("rope_theta") or config.value("rope_theta")
    base = _BASE if stated is None else config.positive("rope_theta", stated)
    speeds = base ** (-np.arange(0, head_size, 2, dtype=np.float64) / head_size)
    if kind == "linear":
        return speeds / config.positive("factor", settings.get("factor"))
    if kind == "yarn":
        return _yarn(config, settings, speeds, base)
    return _llama3(config, settings, speeds) if kind == "llama3" else speeds


def rotary_scale(config: ConfigValues) -> float:
    """Return the factor on cosines and sines: 1, but for YaRN, whose longer contexts need sharper attention."""
    settings, kind = _settings(config)
    if kind != "yarn":
        return 1.0
    if settings.get("attention_factor") is not None:
        return config.positive("attention_factor", settings["attention_factor"])
    factor, one, all_ = (settings.get(name) for name in ("factor", "mscale", "mscale_all_dim"))
    factor = config.positive("factor", factor)
    if one and all_:
        return _yarn_scale(factor, float(one)) / _yarn_scale(factor, float(all_))
    return _yarn_scale(factor, 1.0)


def _settings(config: ConfigValues) -> tuple[dict[str, Any], str]:
    settings = {**config.group("rope_scaling"), **config.group("rope_parameters")}
    return settings, settings.get("rope_type") or settings.get("type") or "default"


def _yarn_scale(factor: float, mscale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1


def _yarn(config: ConfigValues, settings: Mapping[str, Any], speeds: Float64Array, base: float) -> Float64Array:
    """Return YaRN's speeds: those with many turns in the original context kept, those with few divided by the factor.

    As transformers computes them; Peng et al. 2023, "YaRN: Efficient Context Window Extension".
    """
    factor = config.positive("factor", settings.get("factor"))
    length = settings.get(_LONGEST) or config.size_or("max_position_embeddings", 2048)
    length = config.positive(_LONGEST, length)
    turns = [config.positive(name, settings.get(name) or usual) for name, usual in ((_FAST, 32), (_SLOW, 1))]
    first, last = (len(speeds) * math.log(length / (count * 2 * math.pi)) / math.log(base) for count in turns)
    if settings.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, 2 * len(speeds) - 1)
    divided = np.clip((np.arange(len(speeds)) - first) / max(last - first, 1e-3), 0, 1)
    blended: Float64Array = divided * speeds / factor + (1 - divided) * speeds
    return blended


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
