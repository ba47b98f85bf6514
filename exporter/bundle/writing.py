"""Write a bundle: everything goes into a temporary folder that replaces the old one in one step."""

import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgedraft.exporter.bundle.card import model_card
from edgedraft.exporter.bundle.facts import graph_facts, model_entry
from edgedraft.exporter.bundle.genai_config import GENAI_NAME, genai_config, target_config
from edgedraft.exporter.bundle.layer import layer_entry, layer_graphs, require_cpu, write_layer, write_tapped_target
from edgedraft.exporter.bundle.owned import CARD, check_output, owned_by
from edgedraft.exporter.bundle.token_order import TOKEN_ORDER_NAME, TokenOrder, read_token_order, write_token_order
from edgedraft.exporter.graph.head_rows import head_entry
from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.needs import require_bindable
from edgedraft.exporter.graph.preparing import prepare
from edgedraft.exporter.graph.providers import CPU, DRAFTER, PROVIDERS, TARGET, Provider
from edgedraft.exporter.graph.widths import head_rows
from edgedraft.exporter.models.convert import GRAPH_NAME
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.end_tokens import with_ends
from edgedraft.exporter.models.genai_settings import MODEL_CONFIG_NAME, model_config
from edgedraft.exporter.models.pair import Pair
from edgedraft.exporter.models.trimmed import (
    DATA_NAME,
    EXPANDED_NAME,
    HEAD_ROWS_NAME,
    INDEX_MAP_NAME,
    REDUCED_NAME,
    trim_for,
    write_first_trim,
)
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json, sha256, write_json
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require, to_plain
from edgedraft.runtime.base.replacing import replacing_folder
from edgedraft.runtime.base.tokenizer_files import TEXT_FILES
from edgedraft.runtime.bundle.head_rows_file import HeadRowsEntry
from edgedraft.runtime.bundle.index_map_file import write_index_map
from edgedraft.runtime.bundle.manifest import (
    INDEPENDENT,
    MANIFEST_NAME,
    SCHEMA_VERSION,
    BundleManifest,
    CalibrationEntry,
    DivergenceEntry,
    FileEntry,
)
from edgedraft.runtime.bundle.reading import Bundle, read_bundle
from edgedraft.runtime.core.forecast import AcceptanceForecast
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.plan import DecodingPlan

TARGET_GRAPH, DRAFTER_GRAPH, EXPANDED_GRAPH = (
    f"{TARGET}/{GRAPH_NAME}",
    f"{DRAFTER}/{REDUCED_NAME}",
    f"{DRAFTER}/{EXPANDED_NAME}",
)
INDEX_MAP, TOKEN_ORDER = f"{DRAFTER}/{INDEX_MAP_NAME}", f"{DRAFTER}/{TOKEN_ORDER_NAME}"
HEAD_ROWS = f"{DRAFTER}/{HEAD_ROWS_NAME}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BundleContents:
    """Contents of a bundle, and the ``provider`` its graphs are prepared for.

    Without the token ``order`` it cannot be trimmed to another size later.
    """

    pair: Pair | EaglePair
    index_map: IndexMap
    plan: DecodingPlan
    calibration: CalibrationEntry
    divergence: DivergenceEntry | None
    order: TokenOrder | None = None
    provider: Provider = PROVIDERS[CPU]
    drafter_divergence: DivergenceEntry | None = None
    forecast: AcceptanceForecast | None = None


def write_bundle(contents: BundleContents, path: Path, progress: Progress = silent) -> None:
    """Write the bundle to ``path``, replacing one that is there; the user's own files beside it stay.

    Raises `EdgedraftError` before anything is written if the provider cannot hold a weight or the disk is too full.
    """
    check_output(path)
    if isinstance(contents.pair, EaglePair):
        require_cpu(contents.provider)
    else:
        check_weights(contents.pair, contents.index_map, contents.provider)
    require_space(path, contents.pair.stored_bytes(contents.pair.drafter_width), "the bundle")
    with replacing_folder(path, owned_by(path)) as folder:
        progress("bundle parts", 0, 3)
        _write_target(contents, folder)
        progress("bundle parts", 1, 3)
        _write_drafter(contents, folder)
        progress("bundle parts", 2, 3)
        _write_texts(contents, folder)
        names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
        write_manifest(replace(_manifest(contents, folder), files=file_entries(folder, names)), folder)
        progress("bundle parts", 3, 3)


def write_manifest(manifest: BundleManifest, folder: Path) -> BundleManifest:
    """Write the card, then the manifest with the card among its files; return the manifest as written."""
    (folder / CARD).write_text(model_card(manifest), encoding="utf-8")
    files = {**manifest.files, **file_entries(folder, [CARD])}
    written = replace(manifest, files=dict(sorted(files.items())))
    write_json(folder / MANIFEST_NAME, to_plain(written))
    return written


def file_entries(folder: Path, names: Iterable[str]) -> dict[str, FileEntry]:
    """Return size and SHA-256 of a bundle's files, by their names in it."""
    return {name: FileEntry(bytes=(folder / name).stat().st_size, sha256=sha256(folder / name)) for name in names}


def is_current(contents: BundleContents, path: Path) -> bool:
    """Check whether ``path`` already holds exactly this bundle, whole."""
    try:
        bundle = read_bundle(path)
    except EdgedraftError:
        return False
    expected = replace(_manifest(contents, path), files=bundle.manifest.files)
    same_tokens = np.array_equal(bundle.index_map.target_ids, contents.index_map.target_ids)
    same_card = (path / CARD).read_text(encoding="utf-8") == model_card(expected)
    same_facts = bundle.manifest == expected
    same_form = isinstance(contents.pair, EaglePair) or _is_prepared(bundle, contents.provider)
    return same_tokens and same_card and same_facts and same_form and _same_order(bundle, contents.order)


def _is_prepared(bundle: Bundle, provider: Provider) -> bool:
    """Check that token tables and data files are as they are written now; earlier versions wrote other ones."""
    if any(prepare(load_graph(graph), provider) for graph in (bundle.target_graph, bundle.drafter_graph)):
        return False
    for model in (bundle.manifest.target, bundle.manifest.drafter):
        limit = max(provider.data_file_bytes or sys.maxsize, model.largest_tensor_bytes)
        if any(bundle.manifest.files[name].bytes > limit for name in model.data):
            return False
    return True


def _same_order(bundle: Bundle, order: TokenOrder | None) -> bool:
    """Check whether the bundle keeps the same order; its forecasts follow from the order and the manifest."""
    if order is None or TOKEN_ORDER not in bundle.manifest.files:
        return (order is None) == (TOKEN_ORDER not in bundle.manifest.files)
    return np.array_equal(read_token_order(bundle.path / TOKEN_ORDER).token_ids, order.token_ids)


def _manifest(contents: BundleContents, folder: Path) -> BundleManifest:
    """Describe the contents, whose graphs lie in ``folder``, without listing the files."""
    pair = contents.pair
    layer = layer_entry(pair) if isinstance(pair, EaglePair) else None
    graphs = (DRAFTER_GRAPH,) if layer is None else layer_graphs(layer)
    drafter_size = pair.trimmed_size(contents.index_map.draft_vocab_size)
    return BundleManifest(
        schema_version=SCHEMA_VERSION,
        target=model_entry(pair.target, TARGET_GRAPH, pair.target_size, graph_facts(folder, TARGET_GRAPH)),
        drafter=model_entry(pair.drafter, graphs[0], drafter_size, graph_facts(folder, *graphs)),
        index_map=INDEX_MAP,
        target_vocab_size=pair.vocab_size,
        context_length=pair.context_length,
        drafter_context_length=pair.drafter_context_length,
        end_token_ids=pair.end_token_ids,
        tokenizer_fingerprint=pair.fingerprint,
        calibration=contents.calibration,
        plan=contents.plan,
        files={},
        provider=contents.provider.name,
        divergence=contents.divergence,
        drafter_divergence=contents.drafter_divergence,
        drafter_kind=pair.drafter.layout.kind if isinstance(pair, EaglePair) else INDEPENDENT,
        layer=layer,
        forecast=contents.forecast,
        head_rows=_head_rows(contents),
    )


def _head_rows(contents: BundleContents) -> HeadRowsEntry | None:
    """Describe the full head that a plan with rows from the conversation needs; None for another plan."""
    pair = contents.pair
    if contents.plan.conversation_rows == 0 or isinstance(pair, EaglePair):
        return None
    model = load_graph(pair.drafter.graph)
    prepare(model, contents.provider)
    return head_entry(model, HEAD_ROWS)


def check_weights(pair: Pair, kept: IndexMap, provider: Provider) -> None:
    """Refuse a pair with a weight that ``provider`` cannot hold, once the drafter's head is trimmed to ``kept``."""
    if provider.largest_tensor_bytes is not None:
        require_bindable(load_graph(pair.target.graph), TARGET, provider)
        trim_for(load_graph(pair.drafter.graph), head_rows(kept, pair.drafter_width), provider)


def _write_target(contents: BundleContents, folder: Path) -> None:
    """Write the target by copying, never by hard links: onnx refuses external data that has several names."""
    target, provider = contents.pair.target, contents.provider
    if isinstance(contents.pair, EaglePair):
        write_tapped_target(contents.pair, folder)
        return
    (folder / TARGET).mkdir()
    model, data = load_graph(target.graph), target.path / DATA_NAME
    fits = provider.data_file_bytes is None or data.stat().st_size <= provider.data_file_bytes
    if prepare(model, provider) or not fits:
        save_graph(model, folder / TARGET_GRAPH, DATA_NAME, provider.data_file_bytes)
        return
    for name in (GRAPH_NAME, DATA_NAME):
        shutil.copyfile(target.path / name, folder / TARGET / name)


def _write_drafter(contents: BundleContents, folder: Path) -> None:
    """Write the drafter's graphs and data, the map, and the token order.

    An independent drafter has a reduced and an expanded graph over one data file.
    """
    pair = contents.pair
    if isinstance(pair, EaglePair):
        write_layer(pair, contents.index_map, folder)
        write_index_map(folder / INDEX_MAP, contents.index_map)
    else:
        (folder / DRAFTER).mkdir()
        keep_head = contents.plan.conversation_rows > 0
        model = load_graph(pair.drafter.graph)
        write_first_trim(model, contents.index_map, folder / DRAFTER, contents.provider, keep_head=keep_head)
    if contents.order is not None:
        write_token_order(folder / TOKEN_ORDER, contents.order)


def _write_texts(contents: BundleContents, folder: Path) -> None:
    pair = contents.pair
    for name in TEXT_FILES:
        if holds_file(pair.target.path / name):
            shutil.copyfile(pair.target.path / name, folder / name)
    target = read_json(pair.target.path / GENAI_NAME)
    if isinstance(pair, EaglePair):
        settings = target_config(target, target_graph=TARGET_GRAPH)
    else:
        drafter = read_json(pair.drafter.path / GENAI_NAME)
        graphs = {"target_graph": TARGET_GRAPH, "drafter_graph": EXPANDED_GRAPH}
        settings = genai_config(target, drafter, contents.plan.draft_length, **graphs)
        expanded = {**drafter, "model": {**drafter["model"], "vocab_size": pair.vocab_size}}
        write_json(folder / DRAFTER / MODEL_CONFIG_NAME, model_config(expanded))
    write_json(folder / GENAI_NAME, with_ends(settings, pair.end_token_ids))
    write_json(folder / "generation_config.json", {"do_sample": False, "eos_token_id": list(pair.end_token_ids)})


def require_space(path: Path, needed: int, what: str) -> None:
    """Refuse to begin writing ``what`` to ``path`` where fewer than ``needed`` bytes are free."""
    parent = next(folder for folder in path.resolve().parents if folder.exists())
    free = shutil.disk_usage(parent).free
    rule = f"{path}: {what} needs {needed / 1e9:.1f} GB of free disk space"
    require(free >= needed, rule, got=f"{free / 1e9:.1f} GB", remedy="free some space or choose another folder")
