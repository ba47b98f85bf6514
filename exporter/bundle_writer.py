"""Writing a bundle: everything into a temporary sibling, then one rename, so a crash leaves the old bundle or none."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.card import model_card
from edgedraft.exporter.convert import GRAPH_NAME, OnnxFolder
from edgedraft.exporter.expanded import expand_logits
from edgedraft.exporter.genai_config import GenaiPair, genai_config
from edgedraft.exporter.graphs import ModelSize, load_graph, save_graph
from edgedraft.exporter.head import trim_head
from edgedraft.exporter.pair import Pair
from edgedraft.exporter.quality import Divergence
from edgedraft.runtime.bundle import read_bundle
from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.files import read_json, replacing_folder, sha256, write_json
from edgedraft.runtime.index_map import IndexMap, write_index_map
from edgedraft.runtime.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    BundleManifest,
    CalibrationEntry,
    FileEntry,
    ModelEntry,
)
from edgedraft.runtime.plan import DecodingPlan
from edgedraft.runtime.progress import Progress, silent
from edgedraft.runtime.records import require, to_plain
from edgedraft.runtime.text import TEXT_FILES

TARGET_GRAPH, DRAFTER_GRAPH, EXPANDED_GRAPH = "target/model.onnx", "drafter/model.onnx", "drafter/expanded.onnx"
INDEX_MAP = "drafter/index_map.safetensors"

_CARD = "README.md"
_DATA_NAME = f"{GRAPH_NAME}.data"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BundleContents:
    """What goes into a bundle."""

    pair: Pair
    index_map: IndexMap
    plan: DecodingPlan
    calibration: CalibrationEntry
    divergence: Divergence | None


def write_bundle(contents: BundleContents, path: Path, progress: Progress = silent) -> None:
    """Write the bundle to ``path``, replacing one that is there; nothing else is ever overwritten."""
    check_output(path)
    _require_space(contents.pair, path)
    with replacing_folder(path) as folder:
        progress("bundle parts", 0, 3)
        _write_target(contents.pair.target, folder)
        progress("bundle parts", 1, 3)
        _write_drafter(contents, folder)
        progress("bundle parts", 2, 3)
        _write_texts(contents, folder)
        (folder / _CARD).write_text(_card(contents), encoding="utf-8")
        files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
        entries = {name: FileEntry(bytes=file.stat().st_size, sha256=sha256(file)) for name, file in files.items()}
        write_json(folder / MANIFEST_NAME, to_plain(_manifest(contents, entries)))
        progress("bundle parts", 3, 3)


def check_output(path: Path) -> None:
    """Refuse to write where something other than a bundle is; callers ask before they begin long work."""
    if path.exists():
        free = path.is_dir() and ((path / MANIFEST_NAME).is_file() or not any(path.iterdir()))
        require(free, f"{path}: exists and is not a bundle", remedy="choose another output folder")


def is_current(contents: BundleContents, path: Path) -> bool:
    """Whether ``path`` already holds exactly this bundle, whole."""
    try:
        bundle = read_bundle(path)
    except EdgedraftError:
        return False
    same_tokens = np.array_equal(bundle.index_map.target_ids, contents.index_map.target_ids)
    same_card = (path / _CARD).read_text(encoding="utf-8") == _card(contents)
    return same_tokens and same_card and bundle.manifest == _manifest(contents, bundle.manifest.files)


def _card(contents: BundleContents) -> str:
    return model_card(_manifest(contents, {}), contents.divergence)


def _manifest(contents: BundleContents, files: dict[str, FileEntry]) -> BundleManifest:
    pair = contents.pair
    drafter_size = pair.trimmed_size(contents.index_map.draft_vocab_size)
    return BundleManifest(
        schema_version=SCHEMA_VERSION,
        target=_model_entry(pair.target, TARGET_GRAPH, pair.target_size),
        drafter=_model_entry(pair.drafter, DRAFTER_GRAPH, drafter_size),
        index_map=INDEX_MAP,
        target_vocab_size=pair.vocab_size,
        context_length=pair.context_length,
        end_token_ids=pair.end_token_ids,
        tokenizer_fingerprint=pair.fingerprint,
        calibration=contents.calibration,
        plan=contents.plan,
        files=files,
    )


def _model_entry(folder: OnnxFolder, graph: str, size: ModelSize) -> ModelEntry:
    return ModelEntry(
        name=folder.source.name,
        base_model=folder.source.base_model,
        license=folder.source.license,
        graph=graph,
        precision=folder.precision,
        parameters=size.parameters,
        weight_bytes=size.weight_bytes,
        conversion=folder.key,
    )


def _write_target(target: OnnxFolder, folder: Path) -> None:
    """Copies, never hard links: onnx refuses external data that has several names."""
    (folder / "target").mkdir()
    for name in (GRAPH_NAME, _DATA_NAME):
        shutil.copyfile(target.path / name, folder / "target" / name)


def _write_drafter(contents: BundleContents, folder: Path) -> None:
    """The reduced graph with its data file, the expanded graph over the same data, and the map."""
    (folder / "drafter").mkdir()
    model = load_graph(contents.pair.drafter.graph)
    trim_head(model, contents.index_map)
    save_graph(model, folder / DRAFTER_GRAPH, _DATA_NAME)
    expanded = load_graph(folder / DRAFTER_GRAPH)
    expand_logits(expanded, contents.index_map)
    ir.save(expanded, folder / EXPANDED_GRAPH)
    write_index_map(folder / INDEX_MAP, contents.index_map)


def _write_texts(contents: BundleContents, folder: Path) -> None:
    pair = contents.pair
    for name in TEXT_FILES:
        if (pair.target.path / name).is_file():
            shutil.copyfile(pair.target.path / name, folder / name)
    both = GenaiPair(
        target=read_json(pair.target.path / "genai_config.json"),
        target_graph=TARGET_GRAPH,
        drafter=read_json(pair.drafter.path / "genai_config.json"),
        drafter_graph=EXPANDED_GRAPH,
    )
    write_json(folder / "genai_config.json", genai_config(both, contents.plan.draft_length))
    write_json(folder / "generation_config.json", {"do_sample": False, "eos_token_id": list(pair.end_token_ids)})


def _require_space(pair: Pair, path: Path) -> None:
    """Room for both models; found out before anything is written."""
    needed = sum(file.stat().st_size for part in (pair.target, pair.drafter) for file in part.path.glob("model.onnx*"))
    parent = next(folder for folder in path.resolve().parents if folder.exists())
    free = shutil.disk_usage(parent).free
    rule = f"{path}: the bundle needs {needed / 1e9:.1f} GB of free disk space"
    require(free >= needed, rule, got=f"{free / 1e9:.1f} GB", remedy="free some space or choose another folder")
