"""Drives Debian's chromium over a served site, step by step: for the browser's tests, real models and benchmarks."""

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedraft.devices.probing.phone import PhoneProbe
from edgedraft.exporter.pipeline.phone_site import SiteParts, phone_site
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.serving.listening import listen
from edgedraft.runtime.serving.page_server import Offer, PageServer
from edgedraft.runtime.serving.site import Site
from tests.needs import WEB, program

TOKEN = "the-right-token-of-22x"
SOFTWARE_GPU = ["--enable-unsafe-webgpu"]
_NO_PROBE = PhoneProbe(cases=(), rows=(), rounds=0)


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


def drive_browser(url: str, steps: list[dict[str, Any]], *, seconds: int = 600, **scenario: Any) -> DriveResult:
    """Open an address and take steps there, ``seconds`` in all at most; see runtime/web/e2e/drive.mjs."""
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
        timeout=seconds,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return DriveResult(**json.loads(finished.stdout))


@contextlib.contextmanager
def serving(site: Site) -> Iterator[str]:
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


def build_harness() -> None:
    """Build the pages for tests; the harness gives scripts the runtime as ``window.edgedraft``."""
    subprocess.run(["npm", "run", "--silent", "build:harness"], cwd=WEB, check=True, capture_output=True)


def built_page(name: str) -> Path:
    """Return the folder of a page that was built."""
    folder = WEB / "dist" / name
    assert (folder / "index.html").is_file()
    return folder


def harness_site(bundle: Path) -> Site:
    """Return a site of the harness over a bundle, with no probe and no full-vocabulary drafter."""
    opened = read_bundle(bundle, verify_hashes=False)
    parts = SiteParts(bundle=opened, page=built_page("harness"), probe_folder=bundle, probe=_NO_PROBE, full=None)
    return phone_site(parts, {})
