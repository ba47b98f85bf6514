"""Tell the bundle's own files in its folder from the user's files, which stay when the bundle is replaced."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from edgedraft.exporter.bundle.layer import STEP_GRAPH
from edgedraft.exporter.graph.providers import DRAFTER, TARGET
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json, sha256
from edgedraft.runtime.base.outputs import require_own_folder
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import IsOurs
from edgedraft.runtime.base.tokenizer_files import TEXT_FILES
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME

CARD = "README.md"
_OWN_CARD = "library_name: edgedraft"
_USUAL = {MANIFEST_NAME, CARD, STEP_GRAPH, *TEXT_FILES, "genai_config.json", "generation_config.json"}
_TEXTS = {".jinja", ".json", ".md", ".txt"}


def check_output(path: Path) -> None:
    """Refuse ``path`` unless it is free, an empty folder, or a bundle whose text files were not edited.

    Call this before long work. Other files in a bundle's folder are allowed: they stay.
    """
    require_own_folder(path, "a bundle", MANIFEST_NAME)
    edited = sorted(name for name, facts in _listed(path).items() if _is_edited(path / name, facts))
    rule = f"{path}: a bundle is replaced as a whole, and this file of it was changed since"
    require(not edited, rule, got=", ".join(edited[:4]), remedy="move it elsewhere, or choose another output folder")


def owned_by(path: Path) -> IsOurs:
    """Return a test that tells whether a file in ``path`` is the bundle's own.

    The bundle's own files are those that the manifest lists, except text files that were edited since. If the manifest
    cannot be read, they are the files that every bundle has.
    """
    listed = _listed(path)
    own = {name for name, facts in listed.items() if not _is_edited(path / name, facts)} | {MANIFEST_NAME}
    if _is_own_card(path / CARD) and CARD not in listed:
        own.add(CARD)
    return own.__contains__ if listed else _is_usual


def _listed(path: Path) -> Mapping[str, Any]:
    """Return what the manifest says about each file; nothing where it cannot be read, whatever its schema."""
    try:
        data = read_json(path / MANIFEST_NAME)
    except (EdgedraftError, OSError):
        return {}
    files = data.get("files") if isinstance(data, dict) else None
    return files if isinstance(files, dict) else {}


def _is_edited(file: Path, facts: Any) -> bool:
    if file.suffix not in _TEXTS or not file.is_file() or not isinstance(facts, dict):
        return False
    return bool(facts.get("sha256") != sha256(file))


def _is_own_card(file: Path) -> bool:
    """Check for a card of ours that older manifests do not list."""
    return file.is_file() and _OWN_CARD in file.read_text(encoding="utf-8", errors="replace")


def _is_usual(name: str) -> bool:
    return name in _USUAL or PurePosixPath(name).parts[0] in (TARGET, DRAFTER)
