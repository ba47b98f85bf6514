"""Exporting: from a request to a bundle on disk, and on the hub where that was asked for."""

from dataclasses import dataclass
from pathlib import Path

from edgedraft.exporter.bundle.card import MeasuredSpeeds
from edgedraft.exporter.bundle.owned import check_output
from edgedraft.exporter.bundle.push import PushedBundle, Repository, push_bundle, require_token
from edgedraft.exporter.pipeline.bench import Measurement
from edgedraft.exporter.pipeline.requests import ExportRequest
from edgedraft.exporter.pipeline.stages import planned_pair, written_bundle
from edgedraft.exporter.planning.drafters import DrafterComparison
from edgedraft.exporter.planning.planner import Decision
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.progress import Note, Progress, silent, unsaid
from edgedraft.runtime.base.records import from_plain, require
from edgedraft.runtime.bundle.manifest import BundleManifest
from edgedraft.runtime.bundle.reading import read_bundle


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExportedBundle:
    """A bundle on disk: its folder, its manifest, the decision behind its plan, and where it was pushed to.

    ``drafters`` puts the drafters that were weighed side by side.
    """

    path: Path
    manifest: BundleManifest
    decision: Decision
    drafters: DrafterComparison
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
        drafters=stages.drafters,
        pushed=None if repository is None else push_bundle(path, repository, progress=progress),
    )


def _repository(request: ExportRequest) -> Repository | None:
    if request.push_to is None:
        require(not request.private, "--private: expected --push-to beside it")
        return None
    repository = Repository(name=request.push_to, private=request.private)
    require_token()
    return repository


@dataclass(frozen=True, kw_only=True, slots=True)
class PushRequest:
    """Push the folder ``bundle`` to ``repository`` (ORG/NAME); ``bench`` is the file of a bench of this bundle."""

    bundle: Path
    repository: str
    private: bool = False
    bench: Path | None = None


def push(request: PushRequest, progress: Progress = silent) -> PushedBundle:
    """Check, push, and say what is there; see `push_bundle`."""
    repository = Repository(name=request.repository, private=request.private)
    return push_bundle(request.bundle, repository, _measured(request), progress)


def _measured(request: PushRequest) -> MeasuredSpeeds | None:
    """Return the speeds in a file that bench wrote, which must be of this bundle's size."""
    file, bundle = request.bench, request.bundle
    if file is None:
        return None
    measured = from_plain(Measurement, read_json(file), str(file))
    size = read_bundle(bundle, verify_hashes=False).manifest.plan.draft_vocab_size
    rule = f"--bench {file}: expected a bench of this bundle, whose draft vocabulary has {size} tokens"
    remedy = f"run edgedraft bench {bundle}"
    require(measured.draft_vocab_size == size, rule, got=measured.draft_vocab_size, remedy=remedy)
    return MeasuredSpeeds(
        machine=measured.machine.name,
        threads=measured.threads,
        onnxruntime=measured.onnxruntime,
        kernels=measured.kernels,
        report=measured.report,
    )
