"""Read a bundle, checking schema, paths, sizes, hashes, index map and tokenizer before anything runs."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgedraft.runtime.base.errors import naming
from edgedraft.runtime.base.files import read_json, sha256
from edgedraft.runtime.base.graph_reads import require_reads
from edgedraft.runtime.base.one_folder import from_one_folder
from edgedraft.runtime.base.records import from_plain, require
from edgedraft.runtime.base.tokenizer_files import TEXT_FILES, TOKENIZER, has_fingerprint, tokenizer_fingerprint
from edgedraft.runtime.bundle.index_map_file import read_index_map
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME, BundleManifest, FileEntry, ModelEntry, require_schema
from edgedraft.runtime.core.index_map import IndexMap

_LINKED = "replace the link by the file; from a hub, download with hf download --local-dir FOLDER"
_MOST_MANIFEST_BYTES = 2**24
_EXPORT_AGAIN = "export the bundle again or copy it afresh"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """A bundle on disk whose manifest, files and index map were checked."""

    path: Path
    manifest: BundleManifest
    index_map: IndexMap

    @property
    def target_graph(self) -> Path:
        """The target's ONNX file."""
        return self.path / self.manifest.target.graph

    @property
    def drafter_graph(self) -> Path:
        """The trimmed drafter's ONNX file."""
        return self.path / self.manifest.drafter.graph


def read_bundle(path: Path, *, verify_hashes: bool = True) -> Bundle:
    """Read the bundle in folder ``path`` and check it against its manifest.

    Raises `EdgedraftError` naming the file and the key for anything that differs. ``verify_hashes=False`` skips only
    the SHA-256 sums, for a bundle that was verified before. A bundle that is replaced meanwhile is read again.
    """
    return from_one_folder(path, lambda: _read(path, verify_hashes))


def _read(path: Path, verify_hashes: bool) -> Bundle:
    manifest_path = path / MANIFEST_NAME
    require(path.is_dir(), f"{path}: no such bundle folder", remedy="name a folder written by edgedraft export")
    data = read_json(manifest_path, _MOST_MANIFEST_BYTES)
    with naming(manifest_path):
        if isinstance(data, dict) and isinstance(data.get("schema_version"), int):
            require_schema(data["schema_version"])  # first: a newer manifest may hold keys unknown here
        manifest = from_plain(BundleManifest, data, "manifest")
    for name, entry in manifest.files.items():
        _check_file(path, name, entry, verify_hashes)
    _check_listed(manifest, manifest_path)
    for model in (manifest.target, manifest.drafter):
        _check_reads(path, model)
    index_map = read_index_map(path / manifest.index_map, manifest.target_vocab_size)
    _check_map(index_map, manifest, manifest_path)
    tokenizer, expected = path / TOKENIZER, manifest.tokenizer_fingerprint
    rule = f"{tokenizer}: tokenizer fingerprint must be {expected[:12]}"
    own = tokenizer_fingerprint(tokenizer)
    same = expected == own or has_fingerprint(tokenizer, expected)
    require(same, rule, got=own[:12], remedy=_EXPORT_AGAIN)
    return Bundle(path=path, manifest=manifest, index_map=index_map)


def _check_file(bundle: Path, name: str, entry: FileEntry, verify_hashes: bool) -> None:
    file = bundle / name
    require(file.is_file(), f"{file}: missing from the bundle", remedy=_EXPORT_AGAIN)
    inside = file.resolve().is_relative_to(bundle.resolve())
    require(inside, f"{file}: leads out of the bundle", got=file.resolve(), remedy=_LINKED)
    size = file.stat().st_size
    require(size == entry.bytes, f"{file}: expected {entry.bytes} bytes", got=size, remedy=_EXPORT_AGAIN)
    if verify_hashes:
        digest = sha256(file)
        require(
            digest == entry.sha256, f"{file}: SHA-256: expected {entry.sha256[:64]}", got=digest, remedy=_EXPORT_AGAIN
        )


def _check_listed(manifest: BundleManifest, where: Path) -> None:
    """Check that every file that anything reads is listed, and thereby hashed."""
    texts = [name for name in TEXT_FILES if (where.parent / name).exists()]
    models = [name for model in (manifest.target, manifest.drafter) for name in (model.graph, *model.data)]
    for name in (*models, manifest.index_map, "tokenizer.json", *texts):
        require(name in manifest.files, f"{where}: files: {name} is not listed", remedy=_EXPORT_AGAIN)


def _check_reads(bundle: Path, model: ModelEntry) -> None:
    """Check that the graph reads no other files than the model's data files, which are listed and thereby hashed."""
    # ONNX Runtime reads a file of another ending in another format, where this check would see nothing.
    is_onnx = model.graph.endswith(".onnx")
    require(is_onnx, f"{bundle / model.graph}: expected a graph that ends in .onnx", remedy=_EXPORT_AGAIN)
    folder = PurePosixPath(model.graph).parent

    def is_data(location: str) -> bool:
        return (folder / location).as_posix() in model.data

    require_reads(bundle / model.graph, is_data, _EXPORT_AGAIN)


def _check_map(index_map: IndexMap, manifest: BundleManifest, where: Path) -> None:
    size = manifest.plan.draft_vocab_size
    require(
        index_map.draft_vocab_size == size,
        f"{where}: draft_vocab_size: the index map must hold {size} ids",
        got=index_map.draft_vocab_size,
        remedy=_EXPORT_AGAIN,
    )
    require(
        index_map.holds(manifest.end_token_ids),
        f"{where}: the index map must hold the end-of-turn ids {list(manifest.end_token_ids)}",
        remedy=_EXPORT_AGAIN,
    )
