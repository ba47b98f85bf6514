"""Pushing a bundle to the hub with the speeds that a bench measured."""

from dataclasses import dataclass
from pathlib import Path

from edgedraft.exporter.bundle.card import MeasuredSpeeds
from edgedraft.exporter.bundle.push import PushedBundle, Repository, push_bundle
from edgedraft.exporter.pipeline.bench import Measurement
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import from_plain, require
from edgedraft.runtime.bundle.reading import read_bundle


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
        report=measured.report,
    )
