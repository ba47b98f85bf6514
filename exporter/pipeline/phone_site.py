"""The site that a phone opens: page, bundle, the probe's graphs, the full-vocabulary drafter, and session.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edgedraft.calibration.data.samples import SCORE
from edgedraft.calibration.data.turns import USER
from edgedraft.calibration.prompts import shipped_prompts, take
from edgedraft.devices.probing.phone import QUICK, WHOLE, PhoneProbe, write_phone_probe
from edgedraft.exporter.models.sums import read_sums
from edgedraft.exporter.pipeline.page_limits import require_page_takes
from edgedraft.exporter.pipeline.phone_results import PhoneResults
from edgedraft.runtime.base.files import sha256
from edgedraft.runtime.base.progress import Note
from edgedraft.runtime.base.records import to_plain
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME, BundleManifest, FileEntry
from edgedraft.runtime.bundle.reading import Bundle, read_bundle
from edgedraft.runtime.serving.site import Site, SiteFile, Taker, listed_files, page_files, page_folder

BUNDLE, FULL, PROBE, SESSION = "bundle/", "full/", "probe/", "session.json"
_PROMPTS = 3
_NO_PROBE = PhoneProbe(cases=(), rows=(), rounds=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class FullDrafter:
    """The drafter before it was trimmed, as session.json describes it to a page."""

    graph: str
    data: tuple[str, ...]
    largest_tensor_bytes: int
    half: bool
    operators: tuple[str, ...]
    files: dict[str, FileEntry]


@dataclass(frozen=True, kw_only=True, slots=True)
class PhoneSession:
    """The contents of session.json: what one run offers a page."""

    bundle: str
    full_drafter: FullDrafter | None
    probe: PhoneProbe
    prompts: tuple[str, ...]
    post_results: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedDrafter:
    """The full drafter's record, and its files by their paths below the token."""

    record: FullDrafter
    files: Mapping[str, SiteFile]


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteParts:
    """The parts of a site: the bundle, the folders of page and probe, and the full drafter where there is one."""

    bundle: Bundle
    page: Path
    probe_folder: Path
    probe: PhoneProbe
    full: ServedDrafter | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PhoneRequest:
    """Offer the folder ``bundle`` to a phone, with a whole probe or a ``quick`` one; ``cache`` is edgedraft's."""

    bundle: Path
    cache: Path
    quick: bool = False


def offered_site(request: PhoneRequest, folder: Path, results: PhoneResults, note: Note) -> Site:
    """Make everything that is served and return the site; what is made for this run alone goes to ``folder``."""
    require_page_takes(request.bundle, read_bundle(request.bundle, verify_hashes=False).manifest)
    bundle = read_bundle(request.bundle)
    for name in ("probe", "full"):
        (folder / name).mkdir()
    probe = _probe(request, folder / "probe", note)
    full = _full(bundle, request.cache / "onnx", folder / "full", note)
    parts = SiteParts(bundle=bundle, page=page_folder(), probe_folder=folder / "probe", probe=probe, full=full)
    return phone_site(parts, {"results/probe": results.probe_taker(probe), "results/bench": results.take_bench})


def _probe(request: PhoneRequest, folder: Path, note: Note) -> PhoneProbe:
    if find_spec("onnx") is None:
        note('The page has no probe: it needs onnx - pip install "edgedraft[probe]"')
        return _NO_PROBE
    return write_phone_probe(folder, PROBE, QUICK if request.quick else WHOLE)


def _full(bundle: Bundle, onnx_cache: Path, folder: Path, note: Note) -> ServedDrafter | None:
    if find_spec("onnx_ir") is None:
        note('The page benches without the full-vocabulary drafter: it needs onnx-ir - pip install "edgedraft[export]"')
        return None
    full = full_drafter(bundle.manifest, onnx_cache, folder)
    if full is None:
        note(f"The full-vocabulary drafter is not at {onnx_cache}: the page benches without it.")
    return full


def phone_site(parts: SiteParts, takers: Mapping[str, Taker]) -> Site:
    """Return the site, with ``takers`` of posts by path."""
    session = PhoneSession(
        bundle=BUNDLE,
        full_drafter=parts.full.record if parts.full else None,
        probe=parts.probe,
        prompts=short_prompts(),
    )
    manifest = (parts.bundle.path / MANIFEST_NAME).read_bytes()
    probed = {
        case.file.removeprefix(PROBE): FileEntry(bytes=case.bytes, sha256=case.sha256) for case in parts.probe.cases
    }
    files = {
        **page_files(parts.page),
        **listed_files(parts.bundle.path, parts.bundle.manifest.files, BUNDLE),
        **listed_files(parts.probe_folder, probed, PROBE),
        **(parts.full.files if parts.full else {}),
    }
    texts = {SESSION: json.dumps(to_plain(session)).encode(), f"{BUNDLE}{MANIFEST_NAME}": manifest}
    return Site(files=files, texts=texts, takers=takers)


def full_drafter(manifest: BundleManifest, onnx_cache: Path, folder: Path) -> ServedDrafter | None:
    """Return the bundle's drafter with its whole vocabulary, None if it is not cached; see `trimmed.full_graph`.

    Its weights are served from the cache, with the checksums that they have there; the page checks these.
    """
    from edgedraft.exporter.models.trimmed import full_graph  # onnx-ir, which edgedraft[serve] does not bring

    whole = full_graph(manifest, onnx_cache, folder)
    if whole is None:
        return None
    name, needs = whole.graph.name, whole.needs
    graph = {name: FileEntry(bytes=whole.graph.stat().st_size, sha256=sha256(whole.graph))}
    sums = read_sums(whole.data_folder)
    if not sums.keys() >= set(needs.data):
        return None
    data = {each: sums[each] for each in needs.data}
    record = FullDrafter(
        graph=f"{FULL}{name}",
        data=tuple(f"{FULL}{each}" for each in data),
        largest_tensor_bytes=needs.largest_tensor_bytes,
        half=needs.half,
        operators=needs.operators,
        files={f"{FULL}{each}": entry for each, entry in {**graph, **data}.items()},
    )
    return ServedDrafter(
        record=record, files={**listed_files(folder, graph, FULL), **listed_files(whole.data_folder, data, FULL)}
    )


def short_prompts() -> tuple[str, ...]:
    """Return the shortest of the packaged prompts that no draft vocabulary was ranked on, as the user typed them."""
    texts = [
        message["content"] for prompt in take(shipped_prompts(), SCORE) for message in prompt.messages if _asks(message)
    ]
    return tuple(sorted(texts, key=len)[:_PROMPTS])


def _asks(message: Mapping[str, object]) -> bool:
    return message["role"] == USER
