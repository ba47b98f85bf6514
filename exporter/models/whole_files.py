"""Check that a model's files exist and are complete, before anything is converted."""

import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgedraft.exporter.models.gguf_parts import require_whole_gguf
from edgedraft.exporter.models.sources import GGUF, HUGGING_FACE, ModelSource, is_pointer
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.records import require

_UNFINISHED = (".incomplete", ".part", ".partial", ".crdownload", ".aria2", ".download")
_LONGEST_HEADER = 100_000_000  # the format's own limit
_DOWNLOADS = ".cache/huggingface/download"
_SHARD = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<ending>\.safetensors|\.bin)")
# The first that is there is what transformers loads.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_FINISH = "finish the download, or give a whole folder"
_DELETE = "finish it, or delete what is left of it"


def require_whole(source: ModelSource) -> None:
    """Refuse a model with missing or incomplete files; the error names them.

    Whether the files hold every weight of the architecture is known only when they are loaded: see
    `edgedraft.exporter.graph.whole_weights`.
    """
    if source.kind == GGUF:
        require_whole_gguf(source.parts or (source.path,))
        return
    files = [file for file in [*source.path.iterdir(), *(source.path / "onnx").glob("*")] if file.is_file()]
    _require_no_pointers(source.path, files)
    _require_finished(source.path)
    if source.kind == HUGGING_FACE:
        _require_shards(source.path)
        _require_weights(source.path)


def _require_no_pointers(folder: Path, files: list[Path]) -> None:
    pointers = sorted(file.name for file in files if is_pointer(file))
    rule = f"{folder}: git-lfs left pointers in place of files"
    require(not pointers, rule, got=", ".join(pointers) or None, remedy="run git lfs pull there")


def _require_finished(folder: Path) -> None:
    files = [*folder.iterdir(), *(folder / _DOWNLOADS).rglob("*")]
    unfinished = sorted(file.name for file in files if file.name.endswith(_UNFINISHED))
    rule = f"{folder}: a download did not finish"
    require(not unfinished, rule, got=", ".join(unfinished) or None, remedy=_DELETE)


def _require_shards(folder: Path) -> None:
    """Refuse ``model-00001-of-00003.safetensors`` without the other shards, with or without an index."""
    for match in filter(None, (_SHARD.fullmatch(file.name) for file in folder.iterdir())):
        count, ending = int(match["count"]), match["ending"]
        names = [f"{match['name']}-{number:05d}-of-{count:05d}{ending}" for number in range(1, count + 1)]
        missing = ", ".join(name for name in names if not (folder / name).is_file())
        require(not missing, f"{folder}: expected {count} files of weights", got=f"no {missing}", remedy=_FINISH)


def _require_weights(folder: Path) -> None:
    chosen = next((name for name in _WEIGHTS if (folder / name).is_file()), None)
    found = ", ".join(sorted(file.name for file in folder.glob("*.safetensors"))) or "other files"
    require(chosen is not None, f"{folder}: expected {' or '.join(_WEIGHTS)}", got=found, remedy=_FINISH)
    assert chosen is not None
    if chosen.endswith(".index.json"):
        _require_indexed(folder, chosen)
    elif chosen.endswith(".safetensors"):
        safetensors_header(folder / chosen)


def _require_indexed(folder: Path, index: str) -> None:
    """Refuse an index that names missing files, or tensors that its files do not hold."""
    where = folder / index
    data = read_json(where)
    places = data.get("weight_map") if isinstance(data, Mapping) else None
    if not isinstance(places, Mapping) or not places:
        raise EdgedraftError(f"{where}: no weight_map", remedy="download it again")
    files = sorted({str(name) for name in places.values()})
    missing = ", ".join(name for name in files if not (folder / name).is_file())
    require(not missing, f"{where}: names files that are not there", got=missing or None, remedy=_FINISH)
    held = {name: safetensors_header(folder / name) for name in files if name.endswith(".safetensors")}
    absent = [tensor for tensor, name in places.items() if name in held and tensor not in held[name]]
    rule = f"{where}: names {len(absent)} tensors that its files do not hold"
    require(not absent, rule, got=", ".join(absent[:3]), remedy="download the files again")


def safetensors_header(file: Path) -> Mapping[str, Any]:
    """Return the names, types and offsets of the tensors in ``file``; refuse a truncated file.

    Source: the safetensors format, 8 bytes of length and a JSON header before the data.
    """
    size, remedy = file.stat().st_size, "download it again"
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(min(length, size, _LONGEST_HEADER)))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise EdgedraftError(f"{file}: not a whole safetensors file", remedy=remedy) from error
    needed = 8 + length + max(ends, default=0)
    require(size >= needed, f"{file}: expected {needed:,} bytes", got=f"{size:,}", remedy=remedy)
    return {name: entry for name, entry in header.items() if name != "__metadata__"}
