"""Read a bundle, checking schema, paths, sizes, hashes, index map and tokenizer before anything runs."""

import logging
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgedraft.runtime.base.errors import naming
from edgedraft.runtime.base.files import read_json, sha256
from edgedraft.runtime.base.graph_reads import require_reads
from edgedraft.runtime.base.one_folder import from_one_folder
from edgedraft.runtime.base.records import from_plain, require
from edgedraft.runtime.base.tokenizer_files import TEXT_FILES, TOKENIZER, has_fingerprint, tokenizer_fingerprint
from edgedraft.runtime.bundle.head_rows_file import open_head_rows
from edgedraft.runtime.bundle.hub_cache import blobs_of
from edgedraft.runtime.bundle.index_map_file import read_index_map
from edgedraft.runtime.bundle.manifest import HEAD, MANIFEST_NAME, BundleManifest, FileEntry, migrated
from edgedraft.runtime.core.index_map import IndexMap

_LOG = logging.getLogger(__name__)

_LINKED = "replace the link by the file"
MOST_MANIFEST_BYTES = 2**24
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
        """The trimmed drafter's ONNX file; of a layer, that of one step."""
        return self.path / self.manifest.drafter.graph

    @property
    def fusing_graph(self) -> Path | None:
        """The ONNX file that makes a layer's states from the target's features; None where there is none."""
        layer = self.manifest.layer
        return None if layer is None or layer.fusing is None else self.path / layer.fusing


def read_bundle(path: Path, *, verify_hashes: bool = True, hub_links: bool = False) -> Bundle:
    """Read the bundle in folder ``path`` and check it against its manifest.

    Raises `EdgedraftError` naming the file and the key for anything that differs. ``verify_hashes=False`` skips only
    the SHA-256 sums, for a bundle that was verified before. With ``hub_links`` the links of a snapshot in the hub's
    cache are read as files; those who write or send bundles leave it off. A bundle that is replaced meanwhile is read
    again.
    """
    return from_one_folder(path, lambda: _read(path, verify_hashes, blobs_of(path) if hub_links else None))


def _read(path: Path, verify_hashes: bool, blobs: Path | None) -> Bundle:
    manifest_path = path / MANIFEST_NAME
    require(path.is_dir(), f"{path}: no such bundle folder", remedy="name a folder written by edgedraft export")
    data = read_json(manifest_path, MOST_MANIFEST_BYTES)
    with naming(manifest_path):
        manifest = from_plain(BundleManifest, migrated(data) if isinstance(data, dict) else data, "manifest")
    for name, entry in manifest.files.items():
        _check_place(path, path / name, blobs)
        _check_file(path, name, entry, verify_hashes)
    _LOG.info("%s: %d files are as the manifest says", path, len(manifest.files))
    _check_listed(manifest, manifest_path)
    for graph, data in manifest.graphs.items():
        _check_reads(path, graph, data)
    index_map = read_index_map(path / manifest.index_map, manifest.target_vocab_size)
    _check_map(index_map, manifest, manifest_path)
    if manifest.head_rows is not None:
        head = open_head_rows(path / manifest.head_rows.file, manifest.head_rows)
        last, rule = int(index_map.target_ids[-1]), f"{manifest_path}: head_rows: expected a row for each listed token"
        require(last < head.entry.rows, rule, got=f"{head.entry.rows} rows, token {last}", remedy=_EXPORT_AGAIN)
    tokenizer, expected = path / TOKENIZER, manifest.tokenizer_fingerprint
    rule = f"{tokenizer}: tokenizer fingerprint must be {expected[:12]}"
    own = tokenizer_fingerprint(tokenizer)
    same = expected == own or has_fingerprint(tokenizer, expected)
    require(same, rule, got=own[:12], remedy=_EXPORT_AGAIN)
    return Bundle(path=path, manifest=manifest, index_map=index_map)


def _check_file(bundle: Path, name: str, entry: FileEntry, verify_hashes: bool) -> None:
    file = bundle / name
    size = file.stat().st_size
    require(size == entry.bytes, f"{file}: expected {entry.bytes} bytes", got=size, remedy=_EXPORT_AGAIN)
    if verify_hashes:
        digest = sha256(file)
        require(
            digest == entry.sha256, f"{file}: SHA-256: expected {entry.sha256[:64]}", got=digest, remedy=_EXPORT_AGAIN
        )


def _check_place(bundle: Path, file: Path, blobs: Path | None) -> None:
    """Check that a file is there and lies in the bundle, or in the ``blobs`` of its repository, wherever links lead."""
    require(file.is_file(), f"{file}: missing from the bundle", remedy=_EXPORT_AGAIN)
    homes = [bundle.resolve(), *([] if blobs is None else [blobs])]
    inside = any(file.resolve().is_relative_to(home) for home in homes)
    require(inside, f"{file}: leads out of the bundle", got=file.resolve(), remedy=_LINKED)


def _check_listed(manifest: BundleManifest, where: Path) -> None:
    """Check that every file that anything reads is listed, and thereby hashed."""
    texts = [name for name in TEXT_FILES if (where.parent / name).exists()]
    for name in (*manifest.named_files, "tokenizer.json", *texts):
        require(name in manifest.files, f"{where}: files: {name} is not listed", remedy=_EXPORT_AGAIN)


def _check_reads(bundle: Path, graph: str, listed: tuple[str, ...]) -> None:
    """Check that a graph reads no other files than its ``listed`` data files, which are thereby hashed."""
    # ONNX Runtime reads a file of another ending in another format, where this check would see nothing.
    require(graph.endswith(".onnx"), f"{bundle / graph}: expected a graph that ends in .onnx", remedy=_EXPORT_AGAIN)
    folder = PurePosixPath(graph).parent

    def is_data(location: str) -> bool:
        return (folder / location).as_posix() in listed

    require_reads(bundle / graph, is_data, _EXPORT_AGAIN)


def _check_map(index_map: IndexMap, manifest: BundleManifest, where: Path) -> None:
    size = manifest.plan.draft_vocab_size
    require(
        index_map.draft_vocab_size == size,
        f"{where}: draft_vocab_size: the index map must hold {size} ids",
        got=index_map.draft_vocab_size,
        remedy=_EXPORT_AGAIN,
    )
    if manifest.layer is not None and HEAD not in manifest.layer.borrowed:
        return  # a head of its own was trained for whatever tokens it has
    require(
        index_map.holds(manifest.end_token_ids),
        f"{where}: the index map must hold the end-of-turn ids {list(manifest.end_token_ids)}",
        remedy=_EXPORT_AGAIN,
    )
