"""Reading a token-map file of any kind: its first bytes tell the kind, its numbers the convention."""

from dataclasses import dataclass, replace
from pathlib import Path

from edgedraft.exporter.vocab.array_files import read_npy, read_safetensors, read_torch_map
from edgedraft.exporter.vocab.deciding import Numbers, as_ids, decide
from edgedraft.exporter.vocab.engine_files import read_gguf, read_mnn, read_openvino
from edgedraft.exporter.vocab.kinds import CONVENTIONS, KINDS, kind_named
from edgedraft.exporter.vocab.text_files import read_text_map
from edgedraft.exporter.vocab.vocab_map import VocabMap
from edgedraft.runtime.base.errors import EdgedraftError, naming
from edgedraft.runtime.base.plain_files import opened_plain, require_plain_file
from edgedraft.runtime.base.records import require

_BY_SUFFIX = {".xml": read_openvino, ".mnn": read_mnn, ".safetensors": read_safetensors}
_BY_START = {b"GGUF": read_gguf, b"\x93NUM": read_npy, b"PK\x03\x04": read_torch_map}
_PICKLE = 0x80
MOST_BYTES = 2**40
"""Largest file that is looked at: a map may lie among the weights of a large model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeclaredMap:
    """Facts that the user states about a file: ``kind`` is one of `KINDS` or a convention.

    ``vocab_size``: how many tokens the target knows; it counts where the file does not say it.
    """

    kind: str | None = None
    vocab_size: int | None = None

    @property
    def convention(self) -> str | None:
        """Return the convention that the kind stands for, None where no kind is stated."""
        return self.kind if self.kind is None or self.kind in CONVENTIONS else kind_named(self.kind).convention


NOTHING_DECLARED = DeclaredMap()


def read_vocab_map(path: Path, declared: DeclaredMap = NOTHING_DECLARED) -> VocabMap:
    """Read the map in ``path``; raise an `EdgedraftError` that names the file for no map, or numbers with two readings.

    Repeated ids are no error here: `VocabMap.problems` lists them.
    """
    require(path.exists(), f"{path}: no such file")
    numbers = _numbers(path)
    kinds = numbers.kinds
    fits = declared.kind is None or declared.kind in (*kinds, *CONVENTIONS)
    rule = f"{path}: this is {' or '.join(KINDS[kind].file for kind in kinds)}"
    require(fits, rule, got=f"--kind {declared.kind}", remedy=f"use --kind {' or '.join((*kinds, *CONVENTIONS))}")
    with naming(path):
        return _read(_sized(numbers, declared.vocab_size), declared)


def holds_map(path: Path) -> bool:
    """Check whether the file is a token map of any kind, also one whose numbers could be ids or offsets."""
    try:
        return bool(_numbers(path).kinds)
    except (EdgedraftError, OSError):
        return False


def _read(numbers: Numbers, declared: DeclaredMap) -> VocabMap:
    convention = decide(numbers, declared.convention)
    fitting = [kind for kind in numbers.kinds if KINDS[kind].convention == convention]
    named = declared.kind if declared.kind in numbers.kinds else None
    return VocabMap(
        kind=named or (fitting or list(numbers.kinds))[0],
        convention=convention,
        target_ids=as_ids(numbers.values, convention),
        target_vocab_size=numbers.vocab_size,
    )


def _sized(numbers: Numbers, vocab_size: int | None) -> Numbers:
    """Return the numbers, with the user's vocabulary size where the file states none."""
    return numbers if numbers.vocab_size is not None else replace(numbers, vocab_size=vocab_size)


def _numbers(path: Path) -> Numbers:
    if path.is_dir():
        return read_npy(path)
    require_plain_file(path, MOST_BYTES)
    if path.suffix in _BY_SUFFIX:
        return _BY_SUFFIX[path.suffix](path)
    with opened_plain(path) as file:
        start = file.read(16)
    require(len(start) > 0, f"{path}: an empty file")
    if start[:4] in _BY_START:
        return _BY_START[start[:4]](path)
    if start[0] == _PICKLE:
        return read_torch_map(path)
    return read_safetensors(path) if _is_safetensors(start, path) else read_text_map(path)


def _is_safetensors(start: bytes, path: Path) -> bool:
    """Check for a header's length followed by its brace."""
    return start[8:9] == b"{" and 8 + int.from_bytes(start[:8], "little") <= path.stat().st_size
