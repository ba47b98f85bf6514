"""Writing a token map in another kind of file: the same tokens in the same order, or an error that says why not."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.exporter.vocab.array_files import NPY_NAMES, T2D
from edgedraft.exporter.vocab.deciding import as_values
from edgedraft.exporter.vocab.engine_files import D2T
from edgedraft.exporter.vocab.kinds import (
    EAGLE3,
    EAGLE3_CACHE,
    EDGEDRAFT,
    EXECUTORCH,
    FR_SPEC,
    JSON,
    MODELOPT,
    OFFSET,
    SPECULATORS,
    TEXT,
    WRITABLE,
    kind_named,
)
from edgedraft.exporter.vocab.reading import holds_map
from edgedraft.exporter.vocab.torch_files import write_torch
from edgedraft.exporter.vocab.vocab_map import VocabMap
from edgedraft.runtime.base.outputs import require_own_folder, require_replaceable
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import replacing_file, replacing_folder
from edgedraft.runtime.base.tensors import write_tensors
from edgedraft.runtime.bundle.index_map_file import write_index_map
from edgedraft.runtime.core.index_map import IndexMap

FREQUENCIES = "token_freq.pt"

_OWN_NAMES = (*NPY_NAMES, FREQUENCIES)

Frequencies = Mapping[int, int]


def write_vocab_map(path: Path, vocab_map: VocabMap, kind: str, frequencies: Frequencies | None = None) -> None:
    """Write the map as ``kind``, atomically; refuse a kind of file that could not hold it unchanged.

    ``frequencies``, counts by token id, go into speculators' folder beside the map.
    """
    chosen = kind_named(kind, WRITABLE)
    vocab_map.require_distinct()
    rule = f"vocab map: {chosen.file} needs ids in ascending order, and this map's are not"
    remedy = "--sort puts them in order; rows of a head trained for the old order must move too"
    require(vocab_map.ascending or not chosen.ascending, rule, remedy=remedy)
    rule = f"vocab map: {chosen.file} needs to know how many tokens the target has"
    known = vocab_map.target_vocab_size is not None or not chosen.holds_vocab_size
    require(known, rule, remedy="give --tokenizer or --target-vocab-size")
    require_map_output(path, kind)
    if kind == SPECULATORS:
        _write_folder(path, vocab_map, frequencies)
    else:
        _WRITERS[kind](path, vocab_map)


def require_map_output(path: Path, kind: str) -> None:
    """Refuse to replace a file that is no token map; callers check this before they count or read."""
    require(path.is_dir() == (kind == SPECULATORS) or not path.exists(), f"{path}: is no {_shape(kind)}, as {kind} is")
    if kind == SPECULATORS:
        require_own_folder(path, "a map", NPY_NAMES[0], _OWN_NAMES)
        return
    require_replaceable(path)
    require(not path.exists() or holds_map(path), f"{path}: exists and is not a token map", remedy="move it elsewhere")


def _shape(kind: str) -> str:
    return "folder" if kind == SPECULATORS else "file"


def _offsets(vocab_map: VocabMap) -> Any:
    return as_values(vocab_map.target_ids, OFFSET)


def _pair(vocab_map: VocabMap) -> dict[str, Any]:
    """Return ``d2t`` int64 (K,) offsets and ``t2d`` bool (vocab,)."""
    assert vocab_map.target_vocab_size is not None
    kept = np.zeros(vocab_map.target_vocab_size, dtype=np.bool_)
    kept[vocab_map.target_ids] = True
    return {D2T: _offsets(vocab_map), T2D: kept}


def _write_index_map(path: Path, vocab_map: VocabMap) -> None:
    assert vocab_map.target_vocab_size is not None
    write_index_map(path, IndexMap(target_ids=vocab_map.target_ids, target_vocab_size=vocab_map.target_vocab_size))


def _write_folder(path: Path, vocab_map: VocabMap, frequencies: Frequencies | None) -> None:
    """Write speculators' files to a folder that holds nothing else."""
    with replacing_folder(path, _OWN_NAMES.__contains__) as temporary:
        for name, array in zip(NPY_NAMES, _pair(vocab_map).values(), strict=True):
            np.save(temporary / name, array)
        if frequencies is not None:
            write_torch(temporary / FREQUENCIES, dict(frequencies))


def _executorch(vocab_map: VocabMap) -> str:
    """Return ExecuTorch's object: from the pruned id, as text, to the original id."""
    return json.dumps({str(row): each for row, each in enumerate(vocab_map.target_ids.tolist())}, indent=2)


def _write_text(path: Path, text: str) -> None:
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


_WRITERS: Mapping[str, Callable[[Path, VocabMap], None]] = {
    FR_SPEC: lambda path, each: write_torch(path, each.target_ids.tolist()),
    EAGLE3: lambda path, each: write_tensors(path, _pair(each)),
    EAGLE3_CACHE: lambda path, each: write_torch(path, _pair(each)),
    MODELOPT: lambda path, each: write_torch(path, _offsets(each)),
    EXECUTORCH: lambda path, each: _write_text(path, _executorch(each) + "\n"),
    TEXT: lambda path, each: _write_text(path, "".join(f"{token_id}\n" for token_id in each.target_ids)),
    JSON: lambda path, each: _write_text(path, json.dumps(each.target_ids.tolist()) + "\n"),
    EDGEDRAFT: _write_index_map,
}
