"""Keep what tuning chose: by device, beside the bundle's files or, where these cannot be written, in the user's folder.

A choice holds for one bundle (its manifest's SHA-256), one machine, one execution provider and one onnxruntime.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgedraft.devices.machine import this_machine
from edgedraft.devices.tuning.choosing import PredictedWay
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json, sha256, write_json
from edgedraft.runtime.base.kept import plain_sum, short_sum
from edgedraft.runtime.base.records import from_plain, require, to_plain
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME
from edgedraft.runtime.core.plan import DecodingPlan
from edgedraft.runtime.onnx.providers import onnxruntime_version

FOLDER = "tuned"
_MOST_BYTES = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class TuningKey:
    """The subject of a tuning: the bundle by its manifest's SHA-256, the machine's name, provider and onnxruntime."""

    bundle: str
    machine: str
    features: tuple[str, ...]
    provider: str
    onnxruntime: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """The plan that was made on a device, and the ways of decoding that it was chosen from."""

    key: TuningKey
    plan: DecodingPlan
    ways: tuple[PredictedWay, ...]
    seconds: float


def key_here(bundle: Path, provider: str) -> TuningKey:
    """Return the key of the bundle in a folder, on this machine."""
    machine = this_machine()
    return TuningKey(
        bundle=sha256(bundle / MANIFEST_NAME),
        machine=f"{machine.processor}, {machine.cores} cores, {machine.system}",
        features=machine.features,
        provider=provider,
        onnxruntime=onnxruntime_version,
    )


def keep_tuning(bundle: Path, tuning: Tuning) -> Path:
    """Write a tuning where it will be found again; return its file."""
    plain = to_plain(tuning)
    *others, last = _places(bundle, tuning.key)
    for path in others:
        try:
            write_json(path, {"sha256": plain_sum(plain), "value": plain})
        except (EdgedraftError, OSError):
            continue
        return path
    write_json(last, {"sha256": plain_sum(plain), "value": plain})
    return last


def kept_tuning(bundle: Path, provider: str) -> Tuning | None:
    """Return the tuning for this machine; None where there is none, or where its file is damaged."""
    key = key_here(bundle, provider)
    for path in _places(bundle, key):
        try:
            tuning = _read(path) if path.exists() else None
        except (EdgedraftError, OSError):
            continue
        if tuning is not None and tuning.key == key:
            return tuning
    return None


def _read(path: Path) -> Tuning:
    data = read_json(path, _MOST_BYTES)
    whole = isinstance(data, dict) and "value" in data and data.get("sha256") == plain_sum(data["value"])
    require(whole, f"{path}: not as it was written", remedy="run edgedraft tune again")
    return from_plain(Tuning, data["value"], str(path))


def _places(bundle: Path, key: TuningKey) -> Iterator[Path]:
    """Yield where a tuning may lie: in the bundle's folder, then in the user's."""
    name = f"{short_sum(to_plain(key))}.json"
    yield bundle / FOLDER / name
    try:
        yield config_folder() / FOLDER / name
    except RuntimeError:
        return  # the user has no home folder


def config_folder() -> Path:
    """Return the folder of the user's settings: ``EDGEDRAFT_CONFIG``, or where the system keeps those of programs."""
    if chosen := os.environ.get("EDGEDRAFT_CONFIG"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "edgedraft"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "edgedraft"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "edgedraft"
