"""Read values of a drafter's config.json, from its top level or from the layer's configuration nested in it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.records import require

NESTS = ("transformer_layer_config", "text_config")


class ConfigValues:
    """A configuration whose errors name its file and the key."""

    def __init__(self, path: Path) -> None:
        require(not path.is_dir(), f"{path}: expected a file, got a folder", remedy="name the config.json in it")
        data = read_json(path)
        if not isinstance(data, Mapping):
            raise EdgedraftError(f"{path}: expected the configuration of an EAGLE-3 drafter", got=type(data).__name__)
        self.path = path
        self.top: Mapping[str, Any] = data

    def value(self, key: str) -> Any:
        """Return the value of a key, from the top level or a nested configuration; None if it is missing."""
        nests = (self.top.get(name) for name in NESTS)
        values = [each.get(key) for each in (self.top, *nests) if isinstance(each, Mapping)]
        return next((value for value in values if value is not None), None)

    def size(self, key: str) -> int:
        """Return a whole number of 1 or more."""
        value = self.value(key)
        if value is None:
            remedy = "name the config.json of an EAGLE-3 drafter"
            raise EdgedraftError(f"{self.path}: missing key {key}", remedy=remedy)
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        require(whole, f"{self.path}: {key}: expected a whole number of 1 or more", got=repr(value))
        return int(value)

    def size_or(self, key: str, default: int) -> int:
        """Return a whole number of 1 or more; ``default`` if the key is missing or null."""
        return default if self.value(key) is None else self.size(key)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false; ``default`` if the key is missing or null."""
        value = self.value(key)
        require(
            value is None or isinstance(value, bool), f"{self.path}: {key}: expected true or false", got=repr(value)
        )
        return default if value is None else bool(value)

    def positive(self, key: str, value: Any) -> float:
        """Return ``value``, found under ``key``, as a number above 0."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        require(number and 0 < value < math.inf, f"{self.path}: {key}: expected a number above 0", got=repr(value))
        return float(value)

    def group(self, key: str) -> Mapping[str, Any]:
        """Return the object under a key; empty if it is missing or null."""
        value = self.value(key)
        if value is None:
            return {}
        require(isinstance(value, Mapping), f"{self.path}: {key}: expected an object", got=repr(value))
        return dict(value)
