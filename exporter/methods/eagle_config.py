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


PAPERS_SIZES = {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8}
"""The sizes that the reference tool takes for keys that are missing: those of EAGLE-3 for Llama-3.1-8B."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EagleConfig:
    """The facts of a drafter in a configuration.

    ``draft_vocab_size`` is None where it is not said: then the drafter's head is whole. ``target_vocab_size`` is None
    likewise. ``missing`` names the sizes that were filled with `PAPERS_SIZES`.
    """

    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    target_vocab_size: int | None
    draft_vocab_size: int | None
    missing: tuple[str, ...] = ()

    def shape(self, target_vocab_size: int) -> EagleShape:
        """Return the drafter's shape for a target with so many tokens."""
        return EagleShape(
            hidden=self.hidden,
            intermediate=self.intermediate,
            heads=self.heads,
            kv_heads=self.kv_heads,
            target_vocab_size=target_vocab_size,
        )


def read_eagle_config(path: Path) -> EagleConfig:
    """Read the sizes, from the configuration itself or from that of the drafter's layer which speculators nests in it.

    Missing ones are filled as the reference tool fills them. Raises `EdgedraftError` that names the key where a size is
    wrong.
    """
    config = ConfigValues(path)
    hidden, intermediate, heads, kv_heads = (config.size_or(key, size) for key, size in PAPERS_SIZES.items())
    return EagleConfig(
        hidden=hidden,
        intermediate=intermediate,
        heads=heads,
        kv_heads=kv_heads,
        target_vocab_size=None if config.value("vocab_size") is None else config.size("vocab_size"),
        draft_vocab_size=None if config.value(_KEY) is None else config.size(_KEY),
        missing=tuple(key for key in PAPERS_SIZES if config.value(key) is None),
    )


def rewrite_draft_vocab_size(path: Path, size: int) -> None:
    """Set ``draft_vocab_size``; all else stays as it is written, to the byte where the key stands once already.

    Otherwise the file is written anew: the same keys in the same order, indented as before. Never half written.
    """
    vocab_size = read_eagle_config(path).target_vocab_size
    most = size if vocab_size is None else vocab_size
    require(1 <= size <= most, f"{path}: {_KEY}: expected 1..{most}", got=size)
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
