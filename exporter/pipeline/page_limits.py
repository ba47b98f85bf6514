"""Refusing, from the manifest alone, a bundle that no browser could run: at once, with the command that mends it."""

import shlex
from pathlib import Path

from edgedraft.exporter.graph.precisions import DEFAULT
from edgedraft.exporter.graph.providers import DATA_FILE_BYTES
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.manifest import INDEPENDENT, ODD_TOKEN_TABLE, BundleManifest, ModelEntry

WASM_BYTES = 4 * 2**30
"""The memory that 32-bit WebAssembly addresses; weights for WebGPU pass through it too."""

_ANY_MODELS = ("MODEL", "MODEL")


def require_page_takes(bundle: Path, manifest: BundleManifest) -> None:
    """Raise `EdgedraftError` where no browser could run the bundle in folder ``bundle``."""
    kind, target, drafter = manifest.drafter_kind, manifest.target, manifest.drafter
    rule = f"{bundle}: a page runs drafters that decode by themselves, not layers that read the target's states"
    require(kind == INDEPENDENT, rule, got=kind, remedy=_export(bundle, target.name, "MODEL"))
    recurrent = manifest.recurrent
    rule = f"{bundle}: a page keeps no recurrent states"
    remedy = f"{_export(bundle, *_ANY_MODELS)}, with models of attention alone"
    require(recurrent is None, rule, got=f"those of {recurrent}", remedy=remedy)
    again = _export(bundle, target.name, drafter.name)
    for model in (target, drafter):
        rule = f"{bundle}: {model.graph}: no browser looks up packed tokens in rows of an odd number of blocks"
        require(ODD_TOKEN_TABLE not in model.operators, rule, remedy=again)
    _require_small_files(bundle, manifest, again)
    total = sum(manifest.files[name].bytes for model in (target, drafter) for name in _files(model))
    rule = f"{bundle}: a page holds less than {WASM_BYTES / 1e9:.1f} GB of models, what WebAssembly addresses"
    require(total < WASM_BYTES, rule, got=f"{total / 1e9:.1f} GB", remedy=_smaller(bundle, target, drafter))


def _require_small_files(bundle: Path, manifest: BundleManifest, again: str) -> None:
    for name in (name for model in (manifest.target, manifest.drafter) for name in _files(model)):
        size = manifest.files[name].bytes
        rule = f"{bundle}: {name}: a browser takes files of at most {DATA_FILE_BYTES / 1e9:.0f} GB"
        require(size <= DATA_FILE_BYTES, rule, got=f"{size / 1e9:.2f} GB", remedy=again)


def _files(model: ModelEntry) -> tuple[str, ...]:
    return (model.graph, *model.data)


def _export(bundle: Path, target: str, drafter: str) -> str:
    return f"run edgedraft export {shlex.quote(str(bundle))} --target {target} --drafter {drafter}"


def _smaller(bundle: Path, target: ModelEntry, drafter: ModelEntry) -> str:
    """Return the command for fewer bits, or for smaller models where the bits are the fewest already."""
    if target.precision == drafter.precision == DEFAULT:
        return f"{_export(bundle, *_ANY_MODELS)}, with smaller models"
    precisions = f"--target-precision {DEFAULT} --drafter-precision {DEFAULT}"
    return f"{_export(bundle, target.name, drafter.name)} {precisions}"
