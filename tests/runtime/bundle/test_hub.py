"""Hub ids: what names one, one commit for all files, the hub's cache with its links, and one line where it fails."""

import hashlib
import shutil
import socket
from pathlib import Path

import pytest
from huggingface_hub import constants

import edgedraft
from edgedraft.__main__ import main
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bundle.hub import HubBundle, bundle_folder, hub_bundle
from edgedraft.runtime.bundle.reading import read_bundle
from tests.exporter.hub import REVISION, TOKEN, Stored, running_hub

NAME = "org/my-bundle"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub's client."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    return tmp_path / "cache"


def point_to(monkeypatch, url):
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def hub(tiny_bundle, cache, monkeypatch):
    """A hub of this machine that holds the tiny bundle, and a file that is no part of it."""
    with running_hub() as hub:
        point_to(monkeypatch, hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        files = {f.relative_to(tiny_bundle).as_posix(): f.read_bytes() for f in tiny_bundle.rglob("*") if f.is_file()}
        hub.repositories[NAME] = Stored(files={**files, "holiday.mp4": b"large"})
        yield hub


@pytest.fixture
def offline(cache, monkeypatch):
    """A hub's address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    point_to(monkeypatch, f"http://127.0.0.1:{port}")


def cached(bundle: Path, cache: Path) -> Path:
    """Lay the bundle out as the hub's client does: links into blobs that are named by their content."""
    repository = cache / "models--org--my-bundle"
    snapshot = repository / "snapshots" / REVISION
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    for file in (each for each in bundle.rglob("*") if each.is_file()):
        blob = repository / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, blob)
        link = snapshot / file.relative_to(bundle)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(*[".."] * len(link.parent.relative_to(repository).parts), "blobs", blob.name))
    return snapshot


# --- what names a bundle on the hub ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("org/name", HubBundle(name="org/name")),
        ("org/name@v1.0", HubBundle(name="org/name", revision="v1.0")),
        ("org/name@refs/pr/1", HubBundle(name="org/name", revision="refs/pr/1")),
        *(
            (path, None)
            for path in ("bundle", "./org/name", "../name", "/org/name", "~/name", "a/b/c", "org/", "org/n@")
        ),
        (Path("org/name"), None),
    ],
)
def test_a_hub_id_is_two_names_and_maybe_a_revision(reference, found):
    assert hub_bundle(reference) == found


def test_what_is_here_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert hub_bundle("org/name") is None
    assert bundle_folder("org/name") == Path("org/name")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (
            "./bundle",
            "./bundle: only a bundle on the hub has revisions, got revision v1 - leave it out, or name ORG/NAME",
        ),
        ("org/name@v2", "org/name@v2: expected one revision, got another, v1"),
    ],
)
def test_a_revision_that_cannot_be_is_refused(reference, said):
    with pytest.raises(EdgedraftError) as error:
        hub_bundle(reference, "v1")
    assert str(error.value) == said


# --- downloading -----------------------------------------------------------------------------------------------------


def test_a_bundle_on_the_hub_answers_as_its_folder_does(hub, tiny_bundle):
    steps = []
    model = edgedraft.load(NAME, threads=2, progress=lambda *step: steps.append(step))
    own = edgedraft.load(tiny_bundle, threads=2)
    answers = [each.generate("sort the list", max_new_tokens=8).token_ids for each in (model, own)]
    assert answers[0] == answers[1]
    total = len(read_bundle(tiny_bundle).manifest.files)
    assert steps == [(f"fetching {NAME}", done, total) for done in range(total + 1)]


def test_only_the_bundles_own_files_are_asked_for_all_of_one_commit(hub):
    folder = bundle_folder(f"{NAME}@v1")
    paths = set(hub.paths("GET")) | set(hub.paths("HEAD"))
    assert {path for path in paths if "/resolve/v1/" in path} == {f"/{NAME}/resolve/v1/edgedraft.json"}
    assert all(f"/resolve/{REVISION}/" in path for path in paths if not path.endswith("edgedraft.json"))
    assert not [path for path in paths if path.endswith("holiday.mp4")]
    assert folder.name == REVISION
    assert any(file.is_symlink() for file in folder.rglob("*"))


def test_a_revision_may_be_an_option_too(hub):
    bundle_folder(NAME, "v2")
    assert f"/{NAME}/resolve/v2/edgedraft.json" in hub.paths("HEAD")


def test_a_second_opening_downloads_nothing(hub):
    bundle_folder(NAME)
    fetched = hub.paths("GET")
    bundle_folder(NAME)
    assert hub.paths("GET") == fetched


def test_a_repository_without_a_bundle_is_refused(hub):
    del hub.repositories[NAME].files["edgedraft.json"]
    with pytest.raises(EdgedraftError, match=r"^org/my-bundle: that repository holds no whole bundle, got "):
        bundle_folder(NAME)


def test_a_repository_that_is_not_there_is_refused(hub):
    with pytest.raises(EdgedraftError, match=r"^org/other: neither a folder here nor a repository on the hub - "):
        bundle_folder("org/other")


# --- without a network -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [False, True])
def test_without_a_network_a_copy_is_opened_and_a_missing_one_is_said_in_one_line(
    offline, cache, tiny_bundle, monkeypatch, capsys, told
):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", told)
    for command in (["generate", NAME, "sort"], ["bench", NAME], ["chat", NAME], ["serve", NAME, "--port", "0"]):
        assert main(command) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgedraft: ")]
        remedy = "connect to the network, or name a bundle that is here already"
        assert lines == [f"edgedraft: {NAME}: the hub cannot be reached, and no copy is here - {remedy}"]
    cached(tiny_bundle, cache)
    assert main(["generate", NAME, "sort the list", "--max-new-tokens", "4", "--threads", "2"]) == 0
    assert main(["generate", f"{NAME}@{REVISION}", "sort", "--max-new-tokens", "4", "--threads", "2"]) == 0


# --- links in the cache ----------------------------------------------------------------------------------------------


def test_links_of_a_snapshot_are_read_as_files(tiny_bundle, cache):
    assert read_bundle(cached(tiny_bundle, cache), hub_links=True).manifest == read_bundle(tiny_bundle).manifest


@pytest.mark.parametrize("through", ["file", "blob", "blobs"])
def test_a_link_out_of_the_repository_is_refused(tiny_bundle, cache, tmp_path, through):
    snapshot = cached(tiny_bundle, cache)
    link, outside = snapshot / "target" / "model.onnx", tmp_path / "outside"
    blob = link.resolve()
    if through == "blobs":
        blob.parent.rename(outside)
        (snapshot.parent.parent / "blobs").symlink_to(outside)
    else:
        blob.rename(outside)
        moved = blob if through == "blob" else link
        moved.unlink(missing_ok=True)
        moved.symlink_to(outside)
    with pytest.raises(EdgedraftError, match="leads out of the bundle, got "):
        read_bundle(snapshot, hub_links=True)


def test_another_repositorys_blobs_are_refused(tiny_bundle, cache):
    snapshot = cached(tiny_bundle, cache)
    other = cache / "models--org--other" / "blobs"
    other.mkdir(parents=True)
    link = snapshot / "target" / "model.onnx"
    link.resolve().rename(other / "blob")
    link.unlink()
    link.symlink_to(other / "blob")
    with pytest.raises(EdgedraftError, match="leads out of the bundle, got "):
        read_bundle(snapshot, hub_links=True)


def test_those_who_write_or_send_bundles_follow_no_link(tiny_bundle, cache):
    with pytest.raises(EdgedraftError, match="leads out of the bundle, got "):
        read_bundle(cached(tiny_bundle, cache))
