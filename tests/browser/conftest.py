"""A real browser with a software GPU, driven step by step, and sites for it: the harness or the page, over a bundle."""

import contextlib
import json
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgedraft.devices.probing.phone import QUICK, write_phone_probe
from edgedraft.exporter.pipeline.phone_site import PROBE, SiteParts, full_drafter, phone_site
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.onnx.session import SessionSettings
from edgedraft.runtime.serving.listening import listen
from edgedraft.runtime.serving.page_server import Offer, PageServer
from edgedraft.runtime.serving.site import Site
from tests.needs import BUILT_PAGE, CHROMIUM, NODE, NPM, WEB, program, skip_without

TOKEN = "the-right-token-of-22x"
SOFTWARE_GPU = ["--enable-unsafe-webgpu"]


@dataclass(frozen=True, kw_only=True)
class DriveResult:
    """What a drive through the browser came to."""

    results: dict[str, Any]
    console: list[dict[str, str]]
    errors: list[str]
    requests: list[str]
    failed: list[str]
    statuses: dict[str, list[int]]
    fault: dict[str, Any] | None

    def require_quiet(self, root: str) -> None:
        """No step failed, nothing was complained of, and nobody but our own server was asked."""
        assert self.fault is None, (self.fault, self.console, self.errors)
        assert self.errors == []
        assert [line for line in self.console if line["type"] in ("error", "warning")] == []
        assert [url for url in self.requests if not url.startswith((root, "blob:", "data:"))] == []


@pytest.fixture(scope="session")
def drive():
    """Opens an address and takes steps there; see runtime/web/e2e/drive.mjs."""
    skip_without(CHROMIUM, NODE)

    def run(url: str, steps: list[dict[str, Any]], **scenario: Any) -> DriveResult:
        defaults = {
            "url": url,
            "executable": program("chromium"),
            "flags": SOFTWARE_GPU,
            "timeout_seconds": 180,
            "steps": steps,
        }
        finished = subprocess.run(
            ["node", str(WEB / "e2e" / "drive.mjs")],
            input=json.dumps(defaults | scenario),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return DriveResult(**json.loads(finished.stdout))

    return run


@dataclass(frozen=True, kw_only=True)
class Served:
    """A site on loopback."""

    root: str
    posted: dict[str, Any]


@contextlib.contextmanager
def serving(site: Site):
    """The site's address until the block ends."""
    server = PageServer(Offer(site=site, token=TOKEN), listen(0, beyond_loopback=False))
    root = f"http://127.0.0.1:{server.address[1]}/{TOKEN}/"
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield root
    finally:
        server.stop()
        thread.join(10)


@pytest.fixture(scope="session")
def built():
    """The folder of a built page: the one that is shipped, or one of those for tests, built here."""
    skip_without(NPM, BUILT_PAGE)
    subprocess.run(["npm", "run", "--silent", "build:harness"], cwd=WEB, check=True, capture_output=True)

    def build(name: str) -> Path:
        folder = WEB / "dist" / name
        assert (folder / "index.html").is_file()
        return folder

    return build


@pytest.fixture(scope="session")
def serve(built, tiny_pair, tmp_path_factory):
    """Serves a bundle with the harness or the page, and with the full-vocabulary drafter it was cut from."""

    @contextlib.contextmanager
    def run(bundle: Path, page: str = "harness"):
        folder = tmp_path_factory.mktemp("served")
        for name in ("probe", "full"):
            (folder / name).mkdir()
        opened = read_bundle(bundle, verify_hashes=False)
        probe = write_phone_probe(folder / "probe", PROBE, QUICK)
        full = full_drafter(opened.manifest, tiny_pair.cache / "onnx", folder / "full")
        assert full is not None, "the tiny pair's drafter is cached"
        parts = SiteParts(bundle=opened, page=built(page), probe_folder=folder / "probe", probe=probe, full=full)
        posted: dict[str, Any] = {}
        takers = {
            f"results/{kind}": (lambda data, kind=kind: posted.update({kind: data})) for kind in ("probe", "bench")
        }
        with serving(phone_site(parts, takers)) as root:
            yield Served(root=root, posted=posted)

    return run


@pytest.fixture(scope="session")
def packed_bundle(tiny_pair, tiny_planned, tiny_prompts, tmp_path_factory):
    """The tiny pair in int4 as a bundle made for a provider, by its name; its rows are one block, an odd number."""
    from edgedraft.exporter.bundle.contents import bundle_contents
    from edgedraft.exporter.bundle.writing import write_bundle
    from edgedraft.exporter.graph.providers import PROVIDERS
    from edgedraft.exporter.models.pair import PairRequest, prepare_pair
    from edgedraft.exporter.pipeline.planning import PlanningRequest, plan_here

    paths = {"target": str(tiny_pair.target), "drafter": str(tiny_pair.drafter)}
    precisions = {"target_precision": "int4", "drafter_precision": "int4"}
    settings = SessionSettings(threads=2, context_length=256)
    pair = prepare_pair(PairRequest(**paths, **precisions, settings=settings), tiny_pair.cache)
    calibration, request = tiny_planned[0], PlanningRequest(draft_vocab_size=256)
    planned = plan_here([pair], calibration, request, time.perf_counter, tiny_pair.cache)
    root = tmp_path_factory.mktemp("packed")

    def made(provider: str) -> Path:
        path = root / provider
        if not path.exists():
            write_bundle(bundle_contents(calibration, planned, tiny_prompts.name, None, PROVIDERS[provider]), path)
        return path

    return made


@pytest.fixture
def altered_bundle(tiny_bundle, tmp_path):
    """A copy of a bundle, the tiny one unless another is given, whose manifest says something else."""

    def alter(change, bundle: Path = tiny_bundle) -> Path:
        copy = tmp_path / "altered"
        shutil.copytree(bundle, copy)
        manifest = json.loads((copy / "edgedraft.json").read_text())
        change(manifest, copy)
        (copy / "edgedraft.json").write_text(json.dumps(manifest))
        return copy

    return alter
