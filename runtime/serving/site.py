"""Site: every address that a page server answers, as a table; what is not in the table does not exist."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgedraft.runtime.base.files import sha256
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.manifest import FileEntry

INDEX = "index.html"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_OTHER_TYPE = "application/octet-stream"
_PAGE = Path(__file__).resolve().parents[1] / "web" / "dist" / "page"


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteFile:
    """A file under ``root`` with the size and SHA-256 that were promised for it.

    Browsers may keep a file that is ``kept`` and ask whether it changed; the others the page keeps by itself, by hash.
    """

    path: Path
    root: Path
    bytes: int
    sha256: str
    kept: bool = False

    @property
    def media_type(self) -> str:
        """By the name alone: what a system's own table says of .js differs."""
        return _TYPES.get(self.path.suffix.lower(), _OTHER_TYPE)

    @property
    def is_there(self) -> bool:
        """Whether the file still is what was promised, and no link leads out of its root."""
        real = self.path.resolve()
        return real.is_relative_to(self.root.resolve()) and real.is_file() and real.stat().st_size == self.bytes


Taker = Callable[[Any], None]
"""Takes parsed JSON that was posted; an `EdgedraftError` refuses it, and its text is the answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What is served, by paths below the token: files, JSON texts that are made here, and takers of posts."""

    files: Mapping[str, SiteFile]
    texts: Mapping[str, bytes] = field(default_factory=dict)
    takers: Mapping[str, Taker] = field(default_factory=dict)


def page_folder() -> Path:
    """Where the built page lies, in this checkout and in an installed package alike."""
    return _PAGE


def page_files(folder: Path) -> dict[str, SiteFile]:
    """Every file of the built page; the index also is the site's root."""
    remedy = "run `npm ci --ignore-scripts && npm run build` in runtime/web"
    require((folder / INDEX).is_file(), f"{folder}: the page is not built", remedy=remedy)
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {name: _page_file(path, folder) for name, path in found.items()}
    return {"": files[INDEX], **files}


def _page_file(path: Path, folder: Path) -> SiteFile:
    inside = path.resolve().is_relative_to(folder.resolve())
    require(inside, f"{path}: leads out of the page", got=path.resolve(), remedy="build the page again")
    return SiteFile(path=path, root=folder, bytes=path.stat().st_size, sha256=sha256(path), kept=True)


def listed_files(folder: Path, entries: Mapping[str, FileEntry], prefix: str) -> dict[str, SiteFile]:
    """The files of ``folder`` that ``entries`` name, and no others, below ``prefix``."""
    return {
        f"{prefix}{name}": SiteFile(path=folder / name, root=folder, bytes=entry.bytes, sha256=entry.sha256)
        for name, entry in entries.items()
    }
