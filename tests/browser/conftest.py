"""A real browser with a software GPU, driven step by step, and sites for it: the harness or the page, over a bundle."""

import contextlib
import functools
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgedraft.devices.probing.phone import QUICK, write_phone_probe
from edgedraft.exporter.pipeline.phone_site import PROBE, SiteParts, full_drafter, phone_site
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.onnx.session import SessionSettings
from tests.browser.driving import build_harness, built_page, drive_browser, serving
from tests.needs import BUILT_PAGE, CHROMIUM, NODE, NPM, skip_without


@pytest.fixture(scope="session")
def drive():
    """Opens an address and takes steps there; see `drive_browser`."""
    skip_without(CHROMIUM, NODE)
    return drive_browser


@dataclass(frozen=True, kw_only=True)
class Served:
    """A site on loopback."""

    root: str
    posted: dict[str, Any]


@pytest.fixture(scope="session")
def built():
    """The folder of a built page: the one that is shipped, or one of those for tests, built here."""
    skip_without(NPM, BUILT_PAGE)
    build_harness()
    return built_page


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
    """The tiny pair packed to 4 bits as a bundle made for a provider; its rows are one block, an odd number."""
    from edgedraft.exporter.bundle.contents import bundle_contents
    from edgedraft.exporter.bundle.writing import write_bundle
    from edgedraft.exporter.graph.providers import PROVIDERS
    from edgedraft.exporter.models.pair import PairRequest, prepare_pair
    from edgedraft.exporter.pipeline.planning import PlanningRequest, plan_here

    paths = {"target": str(tiny_pair.target), "drafter": str(tiny_pair.drafter)}
    settings = SessionSettings(threads=2, context_length=256)
    calibration, wishes = tiny_planned[0], PlanningRequest(draft_vocab_size=256)
    root = tmp_path_factory.mktemp("packed")

    @functools.cache
    def planned(precision: str):
        precisions = {"target_precision": precision, "drafter_precision": precision}
        pair = prepare_pair(PairRequest(**paths, **precisions, settings=settings), tiny_pair.cache)
        return plan_here([pair], calibration, wishes, time.perf_counter, tiny_pair.cache)

    def made(provider: str, precision: str = "int4") -> Path:
        path = root / f"{provider}-{precision}"
        if not path.exists():
            contents = bundle_contents(calibration, planned(precision), tiny_prompts.name, None, PROVIDERS[provider])
            write_bundle(contents, path)
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
