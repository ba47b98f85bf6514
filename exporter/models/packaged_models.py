"""Packaged models and the pinned wheels that carry their pieces, read from the files in `packaged/`."""

import difflib
import functools
import importlib.resources
import re
import tomllib
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import from_plain, require
from edgedraft.runtime.bundle.manifest import DivergenceEntry

_PIN = re.compile(r"(?P<project>[\w.-]+)==(?P<version>[\w.]+) --hash=sha256:(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True, slots=True)
class PackagedModel:
    """A model that comes as wheels, with the size and the sum of the joined file.

    ``divergences`` of its precisions from fp32 were measured when it was packaged, since its fp32 build is large.
    """

    name: str
    title: str
    license: str
    base_model: str
    file: str
    bytes: int
    sha256: str
    member: str
    requirements: str
    divergences: tuple[DivergenceEntry, ...] = ()

    def __post_init__(self) -> None:
        require(self.bytes > 0, f"{self.name}: bytes: expected 1 or more", got=self.bytes)
        is_digest = re.fullmatch("[0-9a-f]{64}", self.sha256) is not None
        require(is_digest, f"{self.name}: sha256: expected 64 hex digits", got=repr(self.sha256))


@dataclass(frozen=True, kw_only=True, slots=True)
class PinnedWheel:
    """One line of a requirement file: a wheel and the SHA-256 it must have."""

    project: str
    version: str
    sha256: str

    @property
    def line(self) -> str:
        """Return the pip requirement."""
        return f"{self.project}=={self.version} --hash=sha256:{self.sha256}"

    @property
    def file(self) -> str:
        """Return the name under which pip saves it."""
        return f"{re.sub('[-_.]+', '_', self.project).lower()}-{self.version}-py3-none-any.whl"


@functools.cache
def packaged_models() -> tuple[PackagedModel, ...]:
    """Return every packaged model, sorted by name."""
    files = sorted((file for file in _packaged_folder().iterdir() if file.name.endswith(".toml")), key=lambda f: f.name)
    return tuple(from_plain(PackagedModel, tomllib.loads(f.read_text(encoding="utf-8")), f.name) for f in files)


def packaged_model(name: str) -> PackagedModel:
    """Return the packaged model called ``name``."""
    known = {model.name: model for model in packaged_models()}
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else None
    raise EdgedraftError(f"packaged model: expected one of {', '.join(known)}", got=name, remedy=remedy)


def pinned_wheels(model: PackagedModel) -> tuple[PinnedWheel, ...]:
    """Return the model's wheels, in the order in which their pieces are joined."""
    lines = (_packaged_folder() / model.requirements).read_text(encoding="utf-8").splitlines()
    return tuple(_pinned_wheel(line, f"{model.requirements}:{i}") for i, line in enumerate(lines, start=1))


def _packaged_folder() -> Traversable:
    return importlib.resources.files("edgedraft.exporter.models") / "packaged"


def _pinned_wheel(line: str, where: str) -> PinnedWheel:
    pin = _PIN.fullmatch(line)
    if pin is None:
        raise EdgedraftError(f"{where}: expected name==version --hash=sha256:<64 hex digits>", got=repr(line))
    return PinnedWheel(**pin.groupdict())
