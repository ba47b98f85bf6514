"""Trimming to another size without calibrating again: a bundle's drafter, or the full drafter in an ONNX folder."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgedraft.exporter.bundle.facts import graph_facts
from edgedraft.exporter.bundle.owned import CARD, check_output, owned_by
from edgedraft.exporter.bundle.resized import resized_calibration, resized_forecast, resized_plan
from edgedraft.exporter.bundle.retrim_layer import resized_step, write_resized_layer
from edgedraft.exporter.bundle.token_order import SizeForecast, TokenOrder, read_token_order
from edgedraft.exporter.bundle.writing import (
    TOKEN_ORDER,
    file_entries,
    require_space,
    write_manifest,
)
from edgedraft.exporter.graph.head import head_row_size, round_to_tile
from edgedraft.exporter.graph.loading import load_graph, vocabulary_width
from edgedraft.exporter.graph.providers import DRAFTER, Provider, provider_named
from edgedraft.exporter.models.convert import GRAPH_NAME, model_bytes
from edgedraft.exporter.models.genai_settings import MODEL_CONFIG_NAME, model_config
from edgedraft.exporter.models.sums import SUMS_NAME, is_whole
from edgedraft.exporter.models.trimmed import EXPANDED_NAME, write_first_trim, write_trimmed
from edgedraft.exporter.models.vocabulary import require_all_rows
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json, write_json
from edgedraft.runtime.base.outputs import require_replaceable
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import link_or_copy, replacing_folder
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME, BundleManifest, ModelEntry
from edgedraft.runtime.bundle.reading import Bundle, read_bundle
from edgedraft.runtime.core.index_map import IndexMap

_GENAI = "genai_config.json"
_NOT_WEIGHTS = (".json", ".jinja", ".model", ".txt")
_WriteDrafter = Callable[[Path, Callable[[Path, Path], object]], ModelEntry]
_OF_THE_CONVERSION = ("source.json", SUMS_NAME)


def retrim_bundle(path: Path, size: int, output: Path, onnx_cache: Path, progress: Progress = silent) -> BundleManifest:
    """Give the bundle in ``path`` a draft vocabulary of ``size`` tokens (rounded up to whole tiles).

    The result goes to ``output``: another folder, which gets copies of the target and the texts, or ``path`` itself.
    In the second case a whole new bundle is made beside the old one and takes its place, as in `replacing_folder`. The
    target's files are then linked instead of copied: they have two names until the old folder is deleted. The user's
    own files in the folder stay.

    Sizes up to the bundle's own are cut from its drafter, larger ones from the full drafter in ``onnx_cache``. Returns
    the new manifest. Raises `EdgedraftError` for a size without a forecast or a full drafter that is missing.
    """
    check_output(output)
    progress("trimming", 0, 3)
    bundle = read_bundle(path)
    size = round_to_tile(size, bundle.manifest.target_vocab_size)
    in_place = output.resolve() == path.resolve()
    if in_place and size == bundle.manifest.plan.draft_vocab_size:
        return bundle.manifest
    order = bundle_order(bundle)
    kept, forecast = order.kept(size), _forecast(bundle, order, size)
    # Read first: linked data files have two names, and a graph with such files is refused.
    write = _resized(bundle, kept, onnx_cache)
    unchanged = _unchanged(bundle.manifest)
    copied = 0 if in_place else sum((path / name).stat().st_size for name in unchanged)
    require_space(output, _space(bundle.manifest, size) + copied, "the bundle")
    copy = link_or_copy if in_place else shutil.copyfile
    with replacing_folder(output, owned_by(output)) as folder:
        _place(path.resolve(), folder, unchanged, copy)
        progress("trimming", 1, 3)
        manifest = _rewritten(bundle, write(folder, copy), forecast, size, folder)
        progress("trimming", 2, 3)
        manifest = write_manifest(manifest, folder)
    progress("trimming", 3, 3)
    return manifest


def retrim_folder(path: Path, kept: IndexMap, output: Path, progress: Progress = silent) -> None:
    """Write the full drafter in the ONNX folder ``path``, trimmed to ``kept``, to ``output`` without a target.

    Writes both layouts, the map, and the tokenizer and settings of the folder. genai_config.json names the expanded
    graph, because stock engines know nothing of maps.
    """
    require_replaceable(output)
    free = not os.path.lexists(output) or (output.is_dir() and not any(output.iterdir()))
    require(free, f"{output}: exists and is not empty", remedy="choose another output folder")
    progress("trimming", 0, 2)
    model = load_graph(path / GRAPH_NAME)
    require_all_rows(path, vocabulary_width(model))
    require_space(output, model_bytes(path), "the trimmed drafter")
    with replacing_folder(output, frozenset().__contains__) as folder:
        write_first_trim(model, kept, folder)
        progress("trimming", 1, 2)
        for file in sorted(path.iterdir()):
            if file.is_file() and file.suffix in _NOT_WEIGHTS and file.name not in _OF_THE_CONVERSION:
                shutil.copyfile(file, folder / file.name)
        if (folder / _GENAI).is_file():
            config = read_json(folder / _GENAI)
            config["model"]["decoder"]["filename"] = EXPANDED_NAME
            write_json(folder / _GENAI, config)
            if not (folder / MODEL_CONFIG_NAME).is_file():
                write_json(folder / MODEL_CONFIG_NAME, model_config(config))
    progress("trimming", 2, 2)


def bundle_order(bundle: Bundle) -> TokenOrder:
    """Read the token order that the bundle's map is the beginning of, and check that it is."""
    remedy = "export the bundle again"
    kept = TOKEN_ORDER in bundle.manifest.files
    require(kept, f"{bundle.path}: keeps no token order, so no other size can be cut", remedy=remedy)
    where = bundle.path / TOKEN_ORDER
    order, expected = read_token_order(where), bundle.manifest.target_vocab_size
    tokens = len(order.token_ids)
    require(tokens == expected, f"{where}: expected {expected} tokens", got=tokens, remedy=remedy)
    same = np.array_equal(order.kept(bundle.index_map.draft_vocab_size).target_ids, bundle.index_map.target_ids)
    require(same, f"{where}: does not begin with the tokens of the bundle's map", remedy=remedy)
    return order


def _forecast(bundle: Bundle, order: TokenOrder, size: int) -> SizeForecast:
    forecast = order.forecasts.at(size)
    if forecast is None:
        known = ", ".join(f"{known:,}" for known in order.forecasts.sizes.tolist())
        raise EdgedraftError(f"{bundle.path}: its plan weighed the sizes {known}", got=f"{size:,}", remedy="choose one")
    return forecast


def _resized(bundle: Bundle, kept: IndexMap, onnx_cache: Path) -> _WriteDrafter:
    """Read the drafter's graph, and return a function that writes it with the rows of ``kept`` to a new bundle."""
    if bundle.manifest.layer is not None:
        step = resized_step(bundle, kept, onnx_cache)
        return lambda folder, copy: write_resized_layer(bundle, step, kept, folder, copy)
    graph, rows = _graph_with_rows(bundle, kept, onnx_cache)
    return lambda folder, copy: _write_model(bundle, graph, rows, kept, folder, copy)


def _graph_with_rows(bundle: Bundle, kept: IndexMap, onnx_cache: Path) -> tuple[Path, IndexMap | None]:
    """Return the graph that ``kept`` is cut from, and its rows: the bundle's own drafter, or (None) the full one."""
    size, held = kept.draft_vocab_size, bundle.index_map.draft_vocab_size
    if size <= held:
        # The bundle's own drafter knows its tokens by their rows, not by the target's ids.
        rows = IndexMap(target_ids=bundle.index_map.to_draft(kept.target_ids.tolist()), target_vocab_size=held)
        return bundle.drafter_graph, rows
    full = onnx_cache / bundle.manifest.drafter.conversion / GRAPH_NAME
    require(
        full.is_file(),
        f"{bundle.path}: its drafter holds {held:,} tokens, and the full one is not at {full}",
        got=f"{size:,}",
        remedy="choose a smaller size, name the cache that holds it, or export the bundle again",
    )
    remedy = "export the bundle again"
    rule = f"{full.parent}: the full drafter is damaged, or an earlier version kept no sums of it"
    require(is_whole(full.parent), rule, remedy=remedy)
    return full, None


def _write_model(
    bundle: Bundle,
    graph: Path,
    rows: IndexMap | None,
    kept: IndexMap,
    folder: Path,
    copy: Callable[[Path, Path], object],
) -> ModelEntry:
    """Write the trimmed independent drafter with its map, and its full head where it was kept; return its entry."""
    was, model = bundle.manifest, load_graph(graph)
    row, more = head_row_size(model), kept.draft_vocab_size - was.plan.draft_vocab_size
    (folder / DRAFTER).mkdir()
    if rows is None:
        write_first_trim(model, kept, folder / DRAFTER, _provider(was), keep_head=was.head_rows is not None)
    else:
        if was.head_rows is not None:
            copy(bundle.path / was.head_rows.file, folder / was.head_rows.file)
        write_trimmed(model, rows, kept, folder / DRAFTER, _provider(was))
    if (bundle.path / DRAFTER / MODEL_CONFIG_NAME).is_file():
        shutil.copyfile(bundle.path / DRAFTER / MODEL_CONFIG_NAME, folder / DRAFTER / MODEL_CONFIG_NAME)
    return replace(
        was.drafter,
        **graph_facts(folder, was.drafter.graph),
        parameters=was.drafter.parameters + more * row.parameters,
        weight_bytes=was.drafter.weight_bytes + more * row.weight_bytes,
    )


def _rewritten(bundle: Bundle, drafter: ModelEntry, forecast: SizeForecast, size: int, folder: Path) -> BundleManifest:
    """Put the token order beside the new drafter; return the manifest of all files but the card."""
    was = bundle.manifest
    shutil.copyfile(bundle.path / TOKEN_ORDER, folder / TOKEN_ORDER)
    new = [name for name in _of_drafter(was, folder) if (folder / name).is_file()]
    return replace(
        was,
        drafter=drafter,
        plan=resized_plan(was.plan, size, forecast),
        calibration=resized_calibration(was.calibration, forecast),
        forecast=resized_forecast(was.forecast, forecast),
        files={**{name: was.files[name] for name in _unchanged(was)}, **file_entries(folder, new)},
    )


def _of_drafter(manifest: BundleManifest, folder: Path) -> list[str]:
    """List the drafter's files in ``folder``; a layer's graph stands at the top."""
    return [manifest.drafter.graph] * (manifest.layer is not None) + [
        f"{DRAFTER}/{file.name}" for file in (folder / DRAFTER).iterdir()
    ]


def _space(manifest: BundleManifest, size: int) -> int:
    """Return as many bytes as the new drafter's files may take: as if all of the old ones grew with the head."""
    held = sum(entry.bytes for name, entry in manifest.files.items() if name.startswith(f"{DRAFTER}/"))
    return held * max(size, manifest.plan.draft_vocab_size) // manifest.plan.draft_vocab_size


def _provider(manifest: BundleManifest) -> Provider:
    """Return the bundle's provider, without its limit where the bundle was made for a device that holds more."""
    known = provider_named(manifest.provider)
    limit, largest = known.largest_tensor_bytes, manifest.target.largest_tensor_bytes
    return known if limit is None or largest <= limit else replace(known, largest_tensor_bytes=None)


def _unchanged(manifest: BundleManifest) -> list[str]:
    """List the files of the bundle that a new size does not touch."""
    rewritten = {name for name in manifest.files if name.startswith(f"{DRAFTER}/")}
    rewritten |= {CARD, MANIFEST_NAME, manifest.drafter.graph}
    return sorted(set(manifest.files) - rewritten)


def _place(source: Path, folder: Path, names: list[str], copy: Callable[[Path, Path], object]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(source / name, folder / name)
