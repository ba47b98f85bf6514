"""Trimming: another draft vocabulary size for a bundle, or for the full drafter in an ONNX folder, in seconds."""

from dataclasses import dataclass
from pathlib import Path

from edgedraft.exporter.bundle.retrim import retrim_bundle, retrim_folder
from edgedraft.exporter.bundle.trim_orders import kept_by_calibration, kept_in_file, kept_like
from edgedraft.exporter.graph.loading import load_graph, vocabulary_width
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.convert import GRAPH_NAME
from edgedraft.exporter.vocab.reading import DeclaredMap
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME, BundleManifest
from edgedraft.runtime.core.index_map import IndexMap


@dataclass(frozen=True, kw_only=True, slots=True)
class TrimRequest:
    """Trim ``model``, a bundle or a drafter's ONNX folder, to ``vocab_size`` tokens, rounded up to a multiple of 64.

    A bundle keeps its own token order and is replaced unless there is an ``output``. A folder needs an ``output`` and
    an order: that of the bundle ``like``, of a saved ``calibration``, or of the token map ``vocab``, whose ``kind``
    says how its numbers are meant where two readings fit.
    """

    model: Path
    vocab_size: int | None = None
    output: Path | None = None
    like: Path | None = None
    calibration: Path | None = None
    vocab: Path | None = None
    kind: str | None = None
    cache: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrimmedModel:
    """A model written to ``path``: a bundle with its ``manifest``, or (None) a drafter of so many tokens."""

    path: Path
    draft_vocab_size: int
    target_vocab_size: int
    manifest: BundleManifest | None = None


def trim(request: TrimRequest, progress: Progress = silent) -> TrimmedModel:
    """Trim whichever the model is. Raises `EdgedraftError` for a folder that is neither."""
    if (request.model / MANIFEST_NAME).is_file():
        return _trimmed_bundle(request, progress)
    if (request.model / GRAPH_NAME).is_file():
        return _trimmed_folder(request, progress)
    rule = f"{request.model}: neither a bundle nor a folder with model.onnx"
    raise EdgedraftError(rule, remedy="name a folder that edgedraft export wrote, or a drafter exported to ONNX")


def _trimmed_bundle(request: TrimRequest, progress: Progress) -> TrimmedModel:
    orders = {"--like": request.like, "--calibration": request.calibration, "--vocab": request.vocab}
    given = [flag for flag, value in orders.items() if value]
    require(not given, "trim: a bundle is cut by the token order that it keeps", got=given[0] if given else None)
    require(request.vocab_size is not None, "trim: a bundle needs --vocab-size")
    assert request.vocab_size is not None
    output, cache = request.output or request.model, cache_folder(request.cache) / "onnx"
    manifest = retrim_bundle(request.model, request.vocab_size, output, cache, progress)
    return TrimmedModel(
        path=output,
        draft_vocab_size=manifest.plan.draft_vocab_size,
        target_vocab_size=manifest.target_vocab_size,
        manifest=manifest,
    )


def _trimmed_folder(request: TrimRequest, progress: Progress) -> TrimmedModel:
    require(request.output is not None, "trim: a model needs --output", remedy="name a new folder")
    assert request.output is not None
    kept = _kept(request)
    retrim_folder(request.model, kept, request.output, progress)
    return TrimmedModel(
        path=request.output, draft_vocab_size=kept.draft_vocab_size, target_vocab_size=kept.target_vocab_size
    )


def _kept(request: TrimRequest) -> IndexMap:
    """Return the tokens that stay."""
    folder, size = request.model, request.vocab_size
    require(bool(request.vocab) or not request.kind, "trim: --kind says what --vocab is", got="no --vocab")
    if request.like:
        return kept_like(request.like, folder, size)
    if request.vocab:
        width = vocabulary_width(load_graph(folder / GRAPH_NAME))
        return kept_in_file(request.vocab, DeclaredMap(kind=request.kind, vocab_size=width), folder, size)
    remedy = "give --like BUNDLE, --calibration FOLDER or --vocab FILE"
    require(request.calibration is not None, "trim: which tokens a model keeps must be said", remedy=remedy)
    require(size is not None, "trim: a calibration needs --vocab-size")
    assert request.calibration is not None and size is not None
    return kept_by_calibration(request.calibration, folder, size)
