"""The config.json of an EAGLE-3 drafter: the sizes read from it, and its draft vocabulary size rewritten in place."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedraft.exporter.methods.flops import EagleShape
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import replacing_file

_NESTS = ("transformer_layer_config", "text_config")
_KEY = "draft_vocab_size"
_ENTRY = re.compile(rf'("{_KEY}"\s*:\s*)(-?\d+|null)(?=\s*[,}}\]])')


@dataclass(frozen=True, kw_only=True, slots=True)
class EagleConfig:
    """``draft_vocab_size`` is None where the configuration does not say it: then the drafter's head is whole."""

    shape: EagleShape
    draft_vocab_size: int | None


def read_eagle_config(path: Path) -> EagleConfig:
    """Read the sizes, from the configuration itself or from that of the drafter's layer which speculators nests in it.

    Without ``num_key_value_heads`` there are as many as heads, as in transformers. Raises
    `EdgedraftError` that names the key where a size is missing or wrong.
    """
    data = _object(path)
    heads = _size(data, "num_attention_heads", path)
    kv_heads = _size(data, "num_key_value_heads", path) if _value(data, "num_key_value_heads") is not None else heads
    shape = EagleShape(
        hidden=_size(data, "hidden_size", path),
        intermediate=_size(data, "intermediate_size", path),
        heads=heads,
        kv_heads=kv_heads,
        target_vocab_size=_size(data, "vocab_size", path),
    )
    draft = _size(data, _KEY, path) if _value(data, _KEY) is not None else None
    return EagleConfig(shape=shape, draft_vocab_size=draft)


def rewrite_draft_vocab_size(path: Path, size: int) -> None:
    """Set ``draft_vocab_size``; all else stays as it is written, to the byte where the key stands once already.

    Otherwise the file is written anew: the same keys in the same order, indented as before. Never half written.
    """
    vocab_size = read_eagle_config(path).shape.target_vocab_size
    require(1 <= size <= vocab_size, f"{path}: {_KEY}: expected 1..{vocab_size}", got=size)
    text = path.read_bytes().decode("utf-8")
    with replacing_file(path) as temporary:
        temporary.write_bytes(_rewritten(text, size).encode("utf-8"))


def _rewritten(text: str, size: int) -> str:
    config = json.loads(text)
    nest = next((config[name] for name in _NESTS if _KEY not in config and _KEY in config.get(name, ())), config)
    nest[_KEY] = size
    # Edited in place only where that gives the wanted object: the key may also stand in a text or twice.
    edited, edits = _ENTRY.subn(rf"\g<1>{size}", text)
    if edits == 1 and json.loads(edited) == config:
        return edited
    indent = re.search(r"^[{\[]\s*\n([ \t]+)\S", text)
    end = "\n" if text.endswith("\n") else ""
    return json.dumps(config, indent=indent[1] if indent else None, ensure_ascii=False) + end


def _object(path: Path) -> Mapping[str, Any]:
    require(not path.is_dir(), f"{path}: expected a file, got a folder", remedy="name the config.json in it")
    data = read_json(path)
    if not isinstance(data, Mapping):
        raise EdgedraftError(f"{path}: expected the configuration of an EAGLE-3 drafter", got=type(data).__name__)
    return data


def _value(data: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key, from the top or from a nest; None where there is none."""
    nests = (data.get(name) for name in _NESTS)
    values = [each.get(key) for each in (data, *nests) if isinstance(each, Mapping)]
    return next((value for value in values if value is not None), None)


def _size(data: Mapping[str, Any], key: str, path: Path) -> int:
    value = _value(data, key)
    if value is None:
        remedy = "name the config.json of an EAGLE-3 drafter"
        raise EdgedraftError(f"{path}: missing key {key}", remedy=remedy)
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    require(whole, f"{path}: {key}: expected a whole number of 1 or more", got=repr(value))
    return int(value)
