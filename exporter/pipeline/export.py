"""Exporting: from a request to a bundle on disk, and on the hub where that was asked for."""

from dataclasses import dataclass
from pathlib import Path

from edgedraft.exporter.bundle.push import PushedBundle, Repository, push_bundle, require_token
from edgedraft.exporter.bundle.writing import check_output
from edgedraft.exporter.pipeline.requests import ExportRequest
from edgedraft.exporter.pipeline.stages import planned_pair, written_bundle
from edgedraft.exporter.planning.planner import Decision
from edgedraft.runtime.base.progress import Note, Progress, silent, unsaid
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.manifest import BundleManifest
from edgedraft.runtime.bundle.reading import read_bundle


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExportedBundle:
    """A bundle on disk: its folder, its manifest, the decision behind its plan, and where it was pushed to."""

    path: Path
    manifest: BundleManifest
    decision: Decision
    pushed: PushedBundle | None = None


def export_bundle(request: ExportRequest, progress: Progress = silent, note: Note = unsaid) -> ExportedBundle:
    """Plan and write the bundle of a request; push it where the request says so.

    Finished stages are taken from the cache. Raises `EdgedraftError` before any long work where ``output`` holds
    something other than a bundle, or the hub would not know who pushes.
    """
    path = Path(request.output)
    check_output(path)
    repository = _repository(request)
    stages = planned_pair(request, progress, note)
    written_bundle(stages, path, progress, note)
    return ExportedBundle(
        path=path,
        manifest=read_bundle(path, verify_hashes=False).manifest,
        decision=stages.planned.decision,
        pushed=None if repository is None else push_bundle(path, repository, progress=progress),
    )


def _repository(request: ExportRequest) -> Repository | None:
    if request.push_to is None:
        require(not request.private, "--private: expected --push-to beside it")
        return None
    repository = Repository(name=request.push_to, private=request.private)
    require_token()
    return repository
