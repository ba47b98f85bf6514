"""Pushing a bundle to the Hugging Face hub: its own files and nothing else, in one commit, checked once it is there."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.exporter.bundle.card import MeasuredSpeeds, model_card
from edgedraft.exporter.bundle.layer import STEP_GRAPH
from edgedraft.exporter.bundle.owned import CARD
from edgedraft.exporter.graph.providers import DRAFTER, TARGET
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require, to_plain
from edgedraft.runtime.base.tokenizer_files import TEXT_FILES
from edgedraft.runtime.bundle.hub import without_progress_bars
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME, FileEntry
from edgedraft.runtime.bundle.reading import Bundle, read_bundle

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

_OURS = (f"{TARGET}/", f"{DRAFTER}/", STEP_GRAPH)
_HARMLESS = {".gitattributes", ".gitignore", CARD, "LICENSE", "LICENSE.md", "LICENSE.txt"}
_REMEDIES = {
    401: "log in with a token that is valid: hf auth login, or HF_TOKEN",
    403: "use a token that may write there, or choose a name of your own",
    404: "choose an organisation that exists and that your token may write to",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """A repository on the hub: ``name`` is ORG/NAME; ``private`` applies if it is created."""

    name: str
    private: bool = False

    def __post_init__(self) -> None:
        rule = "repository: expected ORG/NAME of letters, digits, '-', '_' and '.', 96 characters at most"
        valid = self.name.count("/") == 1 and len(self.name) <= 96 and _is_valid(self.name)
        require(valid, rule, got=repr(self.name))


@dataclass(frozen=True, kw_only=True, slots=True)
class PushedBundle:
    """A bundle on the hub: the repository's page, the commit, and how much it holds."""

    url: str
    commit: str
    files: int
    bytes: int


def require_token() -> None:
    """Refuse to begin without a token for the hub; called before long work."""
    from huggingface_hub import get_token

    remedy = "log in with a token that may write: hf auth login, or HF_TOKEN"
    require(get_token() is not None, "pushing needs a Hugging Face token, and there is none", remedy=remedy)


def push_bundle(
    path: Path, repository: Repository, measured: MeasuredSpeeds | None = None, progress: Progress = silent
) -> PushedBundle:
    """Verify the bundle in ``path``, send it, and compare what arrived.

    The folder is only read: a card with ``measured`` speeds is made for the hub alone. A missing repository is created.
    One that holds something other than a bundle is refused; files of an earlier bundle are deleted. Everything appears
    in one commit or not at all. Raises `EdgedraftError` for whatever the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    require_token()
    bundle = read_bundle(path)
    entries, rewritten = _entries(bundle, measured)
    contents: dict[str, Path | bytes] = {name: rewritten.get(name, path / name) for name in entries}
    with _hub_errors(repository.name), without_progress_bars():
        api = HfApi()
        _validate_card(contents[CARD])
        url = api.create_repo(repository.name, private=repository.private or None, exist_ok=True)
        stale = _stale(api, repository, entries)
        additions = [CommitOperationAdd(name, content) for name, content in contents.items()]
        _upload(api, repository.name, additions, progress)
        commit = api.create_commit(
            repository.name,
            [*additions, *(CommitOperationDelete(name) for name in stale)],
            commit_message=f"{bundle.manifest.target.name} with {bundle.manifest.drafter.name}, by edgedraft",
        )
        _check_arrived(api, repository.name, entries)
    total = sum(entry.bytes for entry in entries.values())
    return PushedBundle(url=str(url), commit=str(commit.oid), files=len(entries), bytes=total)


def _entries(bundle: Bundle, measured: MeasuredSpeeds | None) -> tuple[dict[str, FileEntry], dict[str, bytes]]:
    """Return the files for the hub with sizes and sums, and the content of those that differ from the folder's."""
    manifest, rewritten = bundle.manifest, {}
    if measured is not None or CARD not in manifest.files:
        rewritten[CARD] = model_card(manifest, measured).encode()
        manifest = replace(manifest, files={**manifest.files, CARD: _entry(rewritten[CARD])})
        rewritten[MANIFEST_NAME] = (json.dumps(to_plain(manifest), indent=2, ensure_ascii=False) + "\n").encode()
    own = rewritten.get(MANIFEST_NAME) or (bundle.path / MANIFEST_NAME).read_bytes()
    return {**manifest.files, MANIFEST_NAME: _entry(own)}, rewritten


def _entry(content: bytes) -> FileEntry:
    return FileEntry(bytes=len(content), sha256=sha256(content).hexdigest())


def _validate_card(content: Path | bytes) -> None:
    """Let the hub look at the card before gigabytes are sent beside it."""
    from huggingface_hub import ModelCard

    text = content.decode() if isinstance(content, bytes) else content.read_text(encoding="utf-8")
    ModelCard(text).validate()


def _stale(api: "HfApi", repository: Repository, entries: Mapping[str, FileEntry]) -> list[str]:
    """List files of an earlier bundle that this one lacks; refuse a repository that holds anything else."""
    info = api.model_info(repository.name)
    rule = f"{repository.name}: exists and is public, but --private was asked for"
    remedy = "make it private on the hub, or choose another name"
    require(bool(info.private) or not repository.private, rule, remedy=remedy)
    there = {file.rfilename for file in info.siblings or ()}
    free = MANIFEST_NAME in there or there <= _HARMLESS
    others = sorted(there - _HARMLESS)
    rule = f"{repository.name}: holds something other than a bundle"
    require(free, rule, got=others[0] if others else None, remedy="choose another name")
    return sorted(name for name in there - set(entries) if name.startswith(_OURS) or name in TEXT_FILES)


def _upload(api: "HfApi", name: str, additions: "list[CommitOperationAdd]", progress: Progress) -> None:
    """Send the large files one after the other; those that the hub holds already are not sent again."""
    for done, addition in enumerate(additions):
        progress(f"pushing to {name}", done, len(additions))
        api.preupload_lfs_files(name, [addition], free_memory=False)
    progress(f"pushing to {name}", len(additions), len(additions))


def _check_arrived(api: "HfApi", name: str, entries: Mapping[str, FileEntry]) -> None:
    """Compare the sizes of all files, and the sums of the large ones, with what the hub reports."""
    from huggingface_hub.hf_api import RepoFile

    tree = api.list_repo_tree(name, recursive=True)
    there = {file.path: file for file in tree if isinstance(file, RepoFile)}
    for path, entry in entries.items():
        file = there.get(path)
        rule = f"{name}: {path}: expected {entry.bytes} bytes with SHA-256 {entry.sha256}"
        require(file is not None, rule, got="no such file there", remedy="see whether its .gitignore names the file")
        assert file is not None
        sum_there = file.lfs.sha256 if file.lfs is not None else entry.sha256
        same = (file.size, sum_there) == (entry.bytes, entry.sha256)
        require(same, rule, got=f"{file.size} with {sum_there}", remedy="push again")


@contextlib.contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Turn any error of the hub or the network into an `EdgedraftError` of one line."""
    from huggingface_hub.errors import HfHubHTTPError

    again = "check the network and push again; large files that arrived are not sent twice"
    try:
        yield
    except EdgedraftError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code
        got = f"{status} {error.server_message or error.response.reason_phrase}"
        raise EdgedraftError(f"{name}: the hub refused", got=got, remedy=_REMEDIES.get(status, again)) from error
    except Exception as error:  # the hub's client raises classes of several libraries
        got = " ".join(str(error).split()) or type(error).__name__
        raise EdgedraftError(f"{name}: the hub did not take the bundle", got=got, remedy=again) from error


def _is_valid(name: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True
