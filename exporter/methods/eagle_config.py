"""The config.json of an EAGLE-3 drafter: the sizes read from it, and its draft vocabulary size rewritten in place."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from edgedraft.exporter.methods.flops import EagleShape
from edgedraft.exporter.models.eagle.config_values import NESTS, ConfigValues
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import replacing_file

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
    config = ConfigValues(path)
    heads = config.size("num_attention_heads")
    shape = EagleShape(
        hidden=config.size("hidden_size"),
        intermediate=config.size("intermediate_size"),
        heads=heads,
        kv_heads=config.size_or("num_key_value_heads", heads),
        target_vocab_size=config.size("vocab_size"),
    )
    draft = config.size(_KEY) if config.value(_KEY) is not None else None
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
    nest = next((config[name] for name in NESTS if _KEY not in config and _KEY in config.get(name, ())), config)
    nest[_KEY] = size
    # Edited in place only where that gives the wanted object: the key may also stand in a text or twice.
    edited, edits = _ENTRY.subn(rf"\g<1>{size}", text)
    if edits == 1 and json.loads(edited) == config:
        return edited
    indent = re.search(r"^[{\[]\s*\n([ \t]+)\S", text)
    end = "\n" if text.endswith("\n") else ""
    return json.dumps(config, indent=indent[1] if indent else None, ensure_ascii=False) + end
