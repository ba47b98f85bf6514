"""Another size in seconds: a bundle's drafter, or the full drafter in an ONNX folder, trimmed without calibrating."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgedraft.exporter.bundle.card import model_card
from edgedraft.exporter.bundle.resized import resized_calibration, resized_plan
from edgedraft.exporter.bundle.token_order import Foreseen, TokenOrder, read_token_order
from edgedraft.exporter.bundle.writing import (
    CARD,
    INDEX_MAP,
    TOKEN_ORDER,
    check_output,
    data_files,
    file_entries,
    require_space,
)
from edgedraft.exporter.graph.head import head_row_size, round_to_tile
from edgedraft.exporter.graph.loading import load_graph, vocabulary_width
from edgedraft.exporter.graph.needs import graph_needs
from edgedraft.exporter.graph.providers import DRAFTER, Provider, provider_named
from edgedraft.exporter.models.convert import GRAPH_NAME
from edgedraft.exporter.models.model_config import MODEL_CONFIG_NAME, model_config
from edgedraft.exporter.models.trimmed import EXPANDED_NAME, write_trimmed
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json, replacing_folder, write_json
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require, to_plain
from edgedraft.runtime.bundle.index_map_file import write_index_map
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME, BundleManifest
from edgedraft.runtime.bundle.reading import Bundle, read_bundle
from edgedraft.runtime.core.index_map import IndexMap

_GENAI = "genai_config.json"
_REWRITTEN = {CARD, MANIFEST_NAME}
_NOT_WEIGHTS = (".json", ".jinja", ".model", ".txt")
_OF_THE_CONVERSION = "source.json"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Cut:
    """Which rows of which graph stay, what they map to, and what planning foresaw of that."""

    graph: Path
    rows: IndexMap
    kept: IndexMap
    foreseen: Foreseen


def retrim_bundle(path: Path, size: int, output: Path, onnx_cache: Path, progress: Progress = silent) -> BundleManifest:
    """Give the bundle in ``path`` a draft vocabulary of ``size`` tokens (rounded up to whole tiles).

    The result goes to ``output``: another folder, which gets copies of the target and the texts, or ``path`` itself.
    There it is made whole beside the old bundle and takes its place as in `replacing_folder`. The target's files are
    not copied then: they have two names until the old folder is gone, which ONNX Runtime reads like any other.

    Sizes up to the bundle's own are cut from its drafter, larger ones from the full drafter in ``onnx_cache``.
    """
    check_output(output)
    progress("trimming", 0, 3)
    bundle = read_bundle(path)
    size = round_to_tile(size, bundle.manifest.target_vocab_size)
    in_place = output.resolve() == path.resolve()
    if in_place and size == bundle.manifest.plan.draft_vocab_size:
        return bundle.manifest
    cut = _cut(bundle, size, onnx_cache)
    staying = _staying(bundle, everything=in_place)
    weights = sum(file.stat().st_size for file in cut.graph.parent.glob(f"{GRAPH_NAME}*"))
    copied = 0 if in_place else sum((path / name).stat().st_size for name in staying)
    require_space(output, weights + copied, "the bundle")
    with replacing_folder(output.resolve()) as folder:
        _place(path.resolve(), folder, staying, _linked if in_place else shutil.copyfile)
        progress("trimming", 1, 3)
        manifest = _write_drafter(bundle, cut, folder)
        progress("trimming", 2, 3)
        (folder / CARD).write_text(model_card(manifest), encoding="utf-8")
        files = {**manifest.files, **file_entries(folder, [CARD])}
        manifest = replace(manifest, files=dict(sorted(files.items())))
        write_json(folder / MANIFEST_NAME, to_plain(manifest))
    progress("trimming", 3, 3)
    return manifest


def retrim_folder(path: Path, kept: IndexMap, output: Path, progress: Progress = silent) -> None:
    """Write the full drafter in the ONNX folder ``path``, trimmed to ``kept``, to ``output`` without a target.

    Both layouts, the map, and the tokenizer and settings of the folder; its genai_config.json names the expanded graph,
    the one that engines run which know nothing of maps.
    """
    free = not output.exists() or (output.is_dir() and not any(output.iterdir()))
    require(free, f"{output}: exists and is not empty", remedy="choose another output folder")
    progress("trimming", 0, 2)
    model = load_graph(path / GRAPH_NAME)
    width, wanted = vocabulary_width(model), kept.target_vocab_size
    remedy = "give the drafter with its whole vocabulary, and an order made for its tokenizer"
    require(
        width == wanted, f"{path}: the logits must be {wanted} wide, as the token order is", got=width, remedy=remedy
    )
    require_space(output, sum(file.stat().st_size for file in path.glob(f"{GRAPH_NAME}*")), "the trimmed drafter")
    with replacing_folder(output) as folder:
        write_trimmed(model, kept, kept, folder)
        progress("trimming", 1, 2)
        write_index_map(folder / Path(INDEX_MAP).name, kept)
        for file in sorted(path.iterdir()):
            if file.is_file() and file.suffix in _NOT_WEIGHTS and file.name != _OF_THE_CONVERSION:
                shutil.copyfile(file, folder / file.name)
        if (folder / _GENAI).is_file():
            config = read_json(folder / _GENAI)
            config["model"]["decoder"]["filename"] = EXPANDED_NAME
            write_json(folder / _GENAI, config)
            if not (folder / MODEL_CONFIG_NAME).is_file():
                write_json(folder / MODEL_CONFIG_NAME, model_config(config))
    progress("trimming", 2, 2)


def bundle_order(bundle: Bundle) -> TokenOrder:
    """The order behind the bundle's map."""
    remedy = "export the bundle again"
    kept = TOKEN_ORDER in bundle.manifest.files
    require(kept, f"{bundle.path}: keeps no token order, so no other size can be cut", remedy=remedy)
    order, where = read_token_order(bundle.path / TOKEN_ORDER), bundle.path / TOKEN_ORDER
    wanted = bundle.manifest.target_vocab_size
    require(
        len(order.token_ids) == wanted, f"{where}: expected {wanted} tokens", got=len(order.token_ids), remedy=remedy
    )
    same = np.array_equal(order.kept(bundle.index_map.draft_vocab_size).target_ids, bundle.index_map.target_ids)
    require(same, f"{where}: does not begin with the tokens of the bundle's map", remedy=remedy)
    return order


def _cut(bundle: Bundle, size: int, onnx_cache: Path) -> _Cut:
    """Where the rows of ``size`` tokens come from, and which they are there."""
    order, held = bundle_order(bundle), bundle.index_map.draft_vocab_size
    kept, foreseen = order.kept(size), order.outlook.at(size)
    if foreseen is None:
        known = ", ".join(f"{known:,}" for known in order.outlook.sizes.tolist())
        raise EdgedraftError(f"{bundle.path}: its plan weighed the sizes {known}", got=f"{size:,}", remedy="choose one")
    if size <= held:
        rows = IndexMap(target_ids=bundle.index_map.to_draft(kept.target_ids.tolist()), target_vocab_size=held)
        return _Cut(graph=bundle.drafter_graph, rows=rows, kept=kept, foreseen=foreseen)
    full = onnx_cache / bundle.manifest.drafter.conversion / GRAPH_NAME
    require(
        full.is_file(),
        f"{bundle.path}: its drafter holds {held:,} tokens, and the full one is not at {full}",
        got=f"{size:,}",
        remedy="choose a smaller size, name the cache that holds it, or export the bundle again",
    )
    return _Cut(graph=full, rows=kept, kept=kept, foreseen=foreseen)


def _write_drafter(bundle: Bundle, cut: _Cut, folder: Path) -> BundleManifest:
    """The trimmed drafter with its map and order; returns the manifest of all but the card."""
    was, size = bundle.manifest, cut.kept.draft_vocab_size
    model = load_graph(cut.graph)
    row, more = head_row_size(model), size - was.plan.draft_vocab_size
    (folder / DRAFTER).mkdir()
    write_trimmed(model, cut.rows, cut.kept, folder / DRAFTER, _provider(was))
    write_index_map(folder / INDEX_MAP, cut.kept)
    shutil.copyfile(bundle.path / TOKEN_ORDER, folder / TOKEN_ORDER)
    if (bundle.path / DRAFTER / MODEL_CONFIG_NAME).is_file():
        shutil.copyfile(bundle.path / DRAFTER / MODEL_CONFIG_NAME, folder / DRAFTER / MODEL_CONFIG_NAME)
    new = [f"{DRAFTER}/{file.name}" for file in (folder / DRAFTER).iterdir()]
    kept_files = {name: was.files[name] for name in _staying(bundle, everything=False)}
    needs = graph_needs(load_graph(folder / was.drafter.graph))
    drafter = replace(
        was.drafter,
        data=data_files(DRAFTER, needs),
        largest_tensor_bytes=needs.largest_tensor_bytes,
        half=needs.half,
        operators=needs.operators,
        parameters=was.drafter.parameters + more * row.parameters,
        weight_bytes=was.drafter.weight_bytes + more * row.weight_bytes,
    )
    return replace(
        was,
        drafter=drafter,
        plan=resized_plan(was.plan, size, cut.foreseen),
        calibration=resized_calibration(was.calibration, cut.foreseen),
        files={**kept_files, **file_entries(folder, new)},
    )


def _provider(manifest: BundleManifest) -> Provider:
    """What the bundle was made for; one with a larger weight already was made for a device that holds it."""
    known = provider_named(manifest.provider)
    limit, largest = known.largest_tensor_bytes, manifest.target.largest_tensor_bytes
    return known if limit is None or largest <= limit else replace(known, largest_tensor_bytes=None)


def _staying(bundle: Bundle, *, everything: bool) -> list[str]:
    """Files that a new size does not touch: those of the manifest, or with ``everything`` the user's own too."""
    listed = bundle.manifest.files
    names = [file.relative_to(bundle.path).as_posix() for file in bundle.path.rglob("*") if file.is_file()]
    found = names if everything else list(listed)
    ours = {name for name in listed if name.startswith(f"{DRAFTER}/")} | _REWRITTEN
    return sorted(name for name in found if name not in ours)


def _place(source: Path, folder: Path, names: list[str], copy: Callable[[Path, Path], object]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(source / name, folder / name)


def _linked(source: Path, destination: Path) -> None:
    """A second name for the file, until the old folder goes; a copy where the file system knows no such thing."""
    try:
        os.link(source, destination, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, destination)
