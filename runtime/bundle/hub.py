"""Bundles on the Hugging Face hub: what names one, and its files, downloaded once into the hub client's own cache."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError, first_line, naming
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import from_plain, require
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME, BundleManifest, migrated
from edgedraft.runtime.bundle.reading import MOST_MANIFEST_BYTES

# ORG/NAME, then @REVISION: a branch, a tag or a commit. A path begins otherwise, or has more or fewer parts.
_HUB_ID = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[\w][\w./-]*))?", re.ASCII)
_ANSWER_SECONDS = 5.0
_OFFLINE = "connect to the network, or name a bundle that is here already"


@dataclass(frozen=True, kw_only=True, slots=True)
class HubBundle:
    """A repository on the hub, ``name`` being ORG/NAME, at a ``revision``; None: its main branch as it is now."""

    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.name if self.revision is None else f"{self.name}@{self.revision}"


def bundle_folder(reference: str | Path, revision: str | None = None, progress: Progress = silent) -> Path:
    """Return the folder of the bundle that ``reference`` names, downloaded if it is a hub id that is no path here.

    A `Path` is always a folder. ``revision`` is for hub ids alone. Raises `EdgedraftError` for a bundle that the hub
    does not give; without a network, one that was downloaded before is opened.
    """
    found = hub_bundle(reference, revision)
    return Path(reference) if found is None else _downloaded(found, progress)


def hub_bundle(reference: str | Path, revision: str | None = None) -> HubBundle | None:
    """Return what ``reference`` names on the hub; None for a folder, which has no ``revision``."""
    match = None if isinstance(reference, Path) or Path(reference).exists() else _HUB_ID.fullmatch(reference)
    if match is None:
        rule = f"{reference}: only a bundle on the hub has revisions"
        require(revision is None, rule, got=f"revision {revision}", remedy="leave it out, or name ORG/NAME")
        return None
    pinned = match["revision"]
    both = f"{reference}: expected one revision"
    require(None in (pinned, revision) or pinned == revision, both, got=f"another, {revision}")
    return HubBundle(name=match["name"], revision=revision or pinned)


def _downloaded(wanted: HubBundle, progress: Progress) -> Path:
    """Fetch the manifest, then the files that it lists, all of the same commit; whatever else is there stays there."""
    with _hub_errors(wanted), without_progress_bars():
        file = _file(wanted.name, MANIFEST_NAME, wanted.revision)
        snapshot = file.parent
        with naming(f"{wanted}: {MANIFEST_NAME}"):
            data = read_json(file, MOST_MANIFEST_BYTES)
            manifest = from_plain(BundleManifest, migrated(data) if isinstance(data, dict) else data, "manifest")
        for done, name in enumerate(manifest.files):
            progress(f"fetching {wanted}", done, len(manifest.files))
            _file(wanted.name, name, snapshot.name)
        progress(f"fetching {wanted}", len(manifest.files), len(manifest.files))
    return snapshot


def _file(name: str, file: str, revision: str | None) -> Path:
    """Return a file of the repository in the hub's cache; one of a commit that is there asks nobody."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(name, file, revision=revision, etag_timeout=_ANSWER_SECONDS))


@contextlib.contextmanager
def _hub_errors(wanted: HubBundle) -> Iterator[None]:
    """Turn any error of the hub or the network into an `EdgedraftError` of one line."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except EdgedraftError:
        raise
    except LocalEntryNotFoundError as error:
        raise EdgedraftError(f"{wanted}: the hub cannot be reached, and no copy is here", remedy=_OFFLINE) from error
    except EntryNotFoundError as error:
        raise EdgedraftError(f"{wanted}: that repository holds no whole bundle", got=first_line(error)) from error
    except GatedRepoError as error:
        remedy = "ask for access on its page, and log in: hf auth login, or HF_TOKEN"
        raise EdgedraftError(f"{wanted}: its owner must grant access first", remedy=remedy) from error
    except RevisionNotFoundError as error:
        raise EdgedraftError(f"{wanted}: that repository has no such revision", remedy="see its page") from error
    except RepositoryNotFoundError as error:
        remedy = "check the name; for a private one log in: hf auth login, or HF_TOKEN"
        rule = f"{wanted}: neither a folder here nor a repository on the hub"
        raise EdgedraftError(rule, remedy=remedy) from error
    except Exception as error:  # the hub's client raises classes of several libraries
        raise EdgedraftError(f"{wanted}: the hub did not give it", got=first_line(error), remedy=_OFFLINE) from error


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Switch off the hub client's own progress bars: a library does not print."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()
