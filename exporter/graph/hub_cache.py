"""The hub client's cache on disk: which repository a folder of it is a snapshot of, and where its links may lead."""

from dataclasses import dataclass
from pathlib import Path

_SNAPSHOTS, _BLOBS, _MODELS = "snapshots", "blobs", "models--"


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """One revision of a repository: links into the ``blobs`` of ``root``, each named by the sum of its content."""

    repository: str
    root: Path


def snapshot_around(folder: Path) -> Snapshot | None:
    """The snapshot that ``folder`` is, or lies in; None for any other folder."""
    absolute = folder.absolute()
    for revision in (absolute, *absolute.parents):
        root = revision.parent.parent
        is_one = revision.parent.name == _SNAPSHOTS and root.name.startswith(_MODELS) and (root / _BLOBS).is_dir()
        if is_one:
            return Snapshot(repository=root.name.removeprefix(_MODELS).replace("--", "/", 1), root=root)
    return None


def blob_name(file: Path) -> str | None:
    """The name of the blob that ``file`` links to, which says its content; None for a file that is no such link."""
    if not file.is_symlink():
        return None
    target = file.resolve()
    return target.name if target.parent.name == _BLOBS else None
