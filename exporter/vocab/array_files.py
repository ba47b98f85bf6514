"""Token maps as arrays: safetensors (one tensor read out of gigabytes), NumPy pairs, and torch files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.exporter.vocab.deciding import Numbers, marks, whole_numbers
from edgedraft.exporter.vocab.engine_files import D2T
from edgedraft.exporter.vocab.kinds import EAGLE3, EAGLE3_CACHE, EDGEDRAFT, FR_SPEC, MODELOPT, NEMO, SPECULATORS
from edgedraft.exporter.vocab.torch_files import read_torch
from edgedraft.runtime.base.arrays import BoolArray
from edgedraft.runtime.base.errors import EdgedraftError, first_line
from edgedraft.runtime.base.plain_files import holds_file, require_plain_file
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tensors import read_tensors, tensor_names
from edgedraft.runtime.bundle.index_map_file import TENSOR_NAME

T2D, VOCAB_SIZE = "t2d", "target_vocab_size"
NPY_NAMES = (f"{D2T}.npy", f"{T2D}.npy")
_NEMO_IDS, _NEMO_MASK = "selected_token_ids", "selected_token_mask"
_NO_MAP = "a missing map is never taken as ids 0..K-1; its map may lie in another file"


def read_safetensors(path: Path) -> Numbers:
    """Read ``target_ids`` of an index map, or ``d2t`` and ``t2d`` of a drafter's weights."""
    names = tensor_names(path)
    if TENSOR_NAME in names:
        tensors, metadata = read_tensors(path, (TENSOR_NAME,))
        return _index_map(path, tensors[TENSOR_NAME], metadata.get(VOCAB_SIZE))
    stored = _named(path, names)
    tensors, _ = read_tensors(path, stored.values())
    return _pair(path, {key: tensors[name] for key, name in stored.items()}, EAGLE3)


def read_npy(path: Path) -> Numbers:
    """Read speculators' pair from its folder or its d2t file; newer names end in the size, such as d2t-32000.npy."""
    file = _d2t_of(path) if path.is_dir() else path
    rule = f"{file}: expected the d2t file of the pair"
    require(file.name.startswith(D2T), rule, got=file.name, remedy="give d2t.npy, or their folder")
    arrays = {D2T: _array(file)}
    mask = file.with_name(T2D + file.name.removeprefix(D2T))
    if holds_file(mask):
        arrays[T2D] = _array(mask)
    return _pair(path, arrays, SPECULATORS)


def read_torch_map(path: Path) -> Numbers:
    """Read the map in a torch file: a list (FR-Spec), a bare tensor (FR-Spec or ModelOpt), a dict (EAGLE, NeMo)."""
    value = read_torch(path)
    if isinstance(value, list | tuple):
        require(all(type(each) is int for each in value), f"{path}: expected a list of ids", got=_kinds_of(value))
        return Numbers(kinds=(FR_SPEC,), values=whole_numbers(value, str(path)), absolute_by_format=True)
    if isinstance(value, np.ndarray):
        return Numbers(kinds=(FR_SPEC, MODELOPT), values=whole_numbers(value, str(path)))
    if not isinstance(value, Mapping):
        raise EdgedraftError(f"{path}: expected a list, a tensor or a dict with {D2T}", got=value)
    if _NEMO_IDS in value:
        values, mask = whole_numbers(value[_NEMO_IDS], f"{path}: {_NEMO_IDS}"), value.get(_NEMO_MASK)
        kept = None if mask is None else marks(mask, f"{path}: {_NEMO_MASK}")
        return _numbers((NEMO,), values, kept)
    require(not is_frequencies(value), f"{path}: counts of tokens, not a map", remedy="edgedraft vocab export takes it")
    names = tuple(name for name in value if isinstance(name, str))
    return _pair(path, {key: value[name] for key, name in _named(path, names).items()}, EAGLE3_CACHE)


def is_frequencies(value: Any) -> bool:
    """Check whether a torch file's value is that of speculators' token_freq.pt: counts by token id."""
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(type(token) is int and type(count) is int for token, count in value.items())
    )


def _named(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Return the names of the tensors ``d2t`` and ``t2d``, whatever module of the model holds them."""
    matches = {key: [name for name in names if name.split(".")[-1] == key] for key in (D2T, T2D)}
    several = [name for same in matches.values() if len(same) > 1 for name in same]
    require(not several, f"{path}: expected one map", got=", ".join(several))
    require(bool(matches[D2T]), f"{path}: expected a tensor {D2T} or {TENSOR_NAME}", got=_few(names), remedy=_NO_MAP)
    return {key: same[0] for key, same in matches.items() if same}


def _pair(path: Path, arrays: Mapping[str, Any], kind: str) -> Numbers:
    kept = marks(arrays[T2D], f"{path}: {T2D}") if T2D in arrays else None
    return _numbers((kind,), whole_numbers(arrays[D2T], f"{path}: {D2T}"), kept)


def _numbers(kinds: tuple[str, ...], values: Any, kept: BoolArray | None) -> Numbers:
    return Numbers(kinds=kinds, values=values, kept=kept, vocab_size=None if kept is None else len(kept))


def _index_map(path: Path, values: Any, size: str | None) -> Numbers:
    require(size is None or size.isdecimal(), f"{path}: {VOCAB_SIZE}: expected a number", got=size)
    ids = whole_numbers(values, f"{path}: {TENSOR_NAME}")
    vocab_size = None if size is None else int(size)
    return Numbers(kinds=(EDGEDRAFT,), values=ids, vocab_size=vocab_size, absolute_by_format=True)


def _d2t_of(folder: Path) -> Path:
    files = sorted(folder.glob(f"{D2T}*.npy"))
    names = ", ".join(file.name for file in files) or "none"
    remedy = "give the map's file itself"
    require(len(files) == 1, f"{folder}: expected one {D2T}.npy in this folder", got=names, remedy=remedy)
    return files[0]


def _array(path: Path) -> Any:
    require_plain_file(path)
    try:
        return np.load(path, allow_pickle=False)
    except Exception as error:  # a header that is no Python literal fails in many ways
        raise EdgedraftError(f"{path}: not a NumPy array that can be read", got=first_line(error)) from error


def _kinds_of(values: Any) -> str:
    return ", ".join(sorted({type(each).__name__ for each in values}))


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") or "none"
