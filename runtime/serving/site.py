"""Site: a table of every address that a page server answers; anything else does not exist."""

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

    ``kept``: browsers may cache the file and ask whether it changed. The page caches the other files itself, by hash.
    """

    path: Path
    root: Path
    bytes: int
    sha256: str
    kept: bool = False

    @property
    def media_type(self) -> str:
        """Media type by the file's name alone, since operating systems differ in theirs for .js."""
        return _TYPES.get(self.path.suffix.lower(), _OTHER_TYPE)

    @property
    def is_there(self) -> bool:
        """True while the file has the promised size, and no link leads out of its root."""
        real = self.path.resolve()
        return real.is_relative_to(self.root.resolve()) and real.is_file() and real.stat().st_size == self.bytes


Taker = Callable[[Any], None]
"""Handles a posted JSON value; an `EdgedraftError` refuses it, and the error's text becomes the answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """The offer of a server, by path below the token: files, JSON texts made in memory, and handlers of posts."""

    files: Mapping[str, SiteFile]
    texts: Mapping[str, bytes] = field(default_factory=dict)
    takers: Mapping[str, Taker] = field(default_factory=dict)


def page_folder() -> Path:
    """Return the folder of the built page, in this checkout or in an installed package."""
    return _PAGE


def page_files(folder: Path) -> dict[str, SiteFile]:
    """List every file of the built page; the index is also the site's root."""
    remedy = "run `npm ci --ignore-scripts && npm run build` in runtime/web"
    require((folder / INDEX).is_file(), f"{folder}: the page is not built", remedy=remedy)
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    files = {path.relative_to(folder).as_posix(): _page_file(path, folder) for path in paths}
    return {"": files[INDEX], **files}


def listed_files(folder: Path, entries: Mapping[str, FileEntry], prefix: str) -> dict[str, SiteFile]:
    """Put the files of ``folder`` that ``entries`` names, and no others, at addresses that begin with ``prefix``."""
    return {
        f"{prefix}{name}": SiteFile(path=folder / name, root=folder, bytes=entry.bytes, sha256=entry.sha256)
        for name, entry in entries.items()
    }


def _page_file(path: Path, folder: Path) -> SiteFile:
    inside = path.resolve().is_relative_to(folder.resolve())
    require(inside, f"{path}: leads out of the page", got=path.resolve(), remedy="build the page again")
    return SiteFile(path=path, root=folder, bytes=path.stat().st_size, sha256=sha256(path), kept=True)
