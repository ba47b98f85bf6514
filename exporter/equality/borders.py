"""Text lengths beyond which a model computes differently, found in its configuration."""

from collections.abc import Iterator, Mapping
from typing import Any

CHECKED_TOKENS = 100
"""The tokens over which a converted model is compared with its source."""

_ALIKE = ("default", "linear")  # factors that are the same at every length, and show in the first tokens


def has_far_border(config: Mapping[str, Any]) -> bool:
    """Check config.json for a window or rotary factors that have no effect on a text of `CHECKED_TOKENS`."""
    return any(_is_far(part) for part in _parts(config))


def _parts(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the configuration and the configurations nested in it."""
    yield config
    for value in config.values():
        if isinstance(value, Mapping):
            yield from _parts(value)


def _is_far(part: Mapping[str, Any]) -> bool:
    window = part.get("sliding_window")
    windowed = isinstance(window, int) and window >= CHECKED_TOKENS and part.get("use_sliding_window", True)
    rope = part.get("rope_type", part.get("type"))
    return bool(windowed) or (isinstance(rope, str) and "factor" in " ".join(part) and rope not in _ALIKE)
