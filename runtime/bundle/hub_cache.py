"""The hub client's cache: which links of a bundle in it lead to the repository's own files."""

from pathlib import Path

# models--ORG--NAME/snapshots/REVISION holds links into models--ORG--NAME/blobs.
_SNAPSHOTS, _BLOBS, _MODELS = "snapshots", "blobs", "models--"


def blobs_of(bundle: Path) -> Path | None:
    """Return the resolved folder of blobs that a bundle's links may lead into; None outside a hub's cache."""
    snapshot = bundle.resolve()
    repository = snapshot.parent.parent
    inside = snapshot.parent.name == _SNAPSHOTS and repository.name.startswith(_MODELS)
    blobs = repository / _BLOBS
    # A link in the place of the blobs could lead anywhere.
    return blobs if inside and blobs.is_dir() and not blobs.is_symlink() else None
