"""Trimming: another draft vocabulary size for a bundle, or for the full drafter in an ONNX folder, in seconds."""

from dataclasses import dataclass
from pathlib import Path

from edgedraft.calibration.saved import load_calibration
from edgedraft.exporter.bundle.retrim import bundle_order, retrim_bundle, retrim_folder
from edgedraft.exporter.graph.head import round_to_tile
from edgedraft.exporter.graph.loading import load_graph, vocabulary_width
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.convert import GRAPH_NAME
from edgedraft.exporter.models.end_tokens import end_token_ids
from edgedraft.exporter.models.tokenization import tokenizer_of
from edgedraft.exporter.planning.ranking import draftable_first, index_map, rank_tokens
from edgedraft.exporter.vocab.kinds import KINDS
from edgedraft.exporter.vocab.reading import DeclaredMap, read_vocab_map
from edgedraft.exporter.vocab.vocab_map import vocab_order
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import resume
from edgedraft.runtime.base.tokenizer_files import TOKENIZER, has_fingerprint, tokenizer_fingerprint
from edgedraft.runtime.bundle.manifest import MANIFEST_NAME, BundleManifest
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.onnx.planned_kernels import bundle_remark


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
    """A model written to ``path``: a bundle with its ``manifest``, or (None) a drafter of so many tokens.

    ``remark`` is a sentence about the kernels that the bundle's plan expects, if others run here.
    """

    path: Path
    draft_vocab_size: int
    target_vocab_size: int
    manifest: BundleManifest | None = None
    remark: str | None = None


def trim(request: TrimRequest, progress: Progress = silent) -> TrimmedModel:
    """Trim whichever the model is. Raises `EdgedraftError` for a folder that is neither."""
    resume(request.model)
    if holds_file(request.model / MANIFEST_NAME):
        return _trimmed_bundle(request, progress)
    if holds_file(request.model / GRAPH_NAME):
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
        remark=bundle_remark(read_bundle(output, verify_hashes=False)),
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
        declared = DeclaredMap(kind=request.kind, vocab_size=_width(folder))
        return kept_in_file(request.vocab, declared, folder, size)
    remedy = "give --like BUNDLE, --calibration FOLDER or --vocab FILE"
    require(request.calibration is not None, "trim: which tokens a model keeps must be said", remedy=remedy)
    require(size is not None, "trim: a calibration needs --vocab-size")
    assert request.calibration is not None and size is not None
    return kept_by_calibration(request.calibration, folder, size)


def kept_like(bundle_path: Path, folder: Path, size: int | None) -> IndexMap:
    """Return the first ``size`` tokens of the bundle's order (as many as the bundle keeps when None)."""
    bundle = read_bundle(bundle_path, verify_hashes=False)
    _require_tokenizer(folder, bundle.manifest.tokenizer_fingerprint, f"--like {bundle_path}")
    if size is None or size == bundle.index_map.draft_vocab_size:
        return bundle.index_map
    return bundle_order(bundle).kept(round_to_tile(size, bundle.manifest.target_vocab_size))


def kept_by_calibration(calibration: Path, folder: Path, size: int) -> IndexMap:
    """Return the ``size`` tokens that a calibration or a counts file ranks first, the end of turn among them."""
    saved = load_calibration(calibration)
    for counts in saved.ranking.values():
        _require_tokenizer(folder, counts.provenance.tokenizer_fingerprint, f"--calibration {calibration}")
    ends = saved.end_token_ids or _end_token_ids(folder)
    order = draftable_first(rank_tokens(list(saved.ranking.values()), ends), _width(folder))
    return index_map(order, round_to_tile(size, min(len(order), _width(folder))))


def kept_in_file(file: Path, declared: DeclaredMap, folder: Path, size: int | None) -> IndexMap:
    """Return the tokens of a map file, or their first ``size`` where the file lists the most frequent first."""
    assert declared.vocab_size is not None
    vocab_map = read_vocab_map(file, declared)
    order, held = vocab_order(vocab_map, declared.vocab_size, _end_token_ids(folder)), vocab_map.entries
    size, remedy = size or held, "leave out --vocab-size"
    require(size <= held, f"--vocab {file}: holds {held} tokens", got=size, remedy=remedy)
    rule = f"--vocab {file}: its {held} tokens have no order to cut them by"
    require(size == held or KINDS[vocab_map.kind].by_frequency, rule, remedy=remedy)
    return index_map(order, size)


def _width(folder: Path) -> int:
    return vocabulary_width(load_graph(folder / GRAPH_NAME))


def _end_token_ids(folder: Path) -> tuple[int, ...]:
    """Return the ids that end a turn, of a folder with or without onnxruntime-genai's settings."""
    if holds_file(folder / "genai_config.json"):
        return end_token_ids(folder)
    return tokenizer_of(str(folder), cache_folder()).end_token_ids


def _require_tokenizer(folder: Path, expected: str, what: str) -> None:
    """Refuse an order whose ids do not mean the tokens of the drafter."""
    file, rule = folder / TOKENIZER, f"{what}: made for the tokenizer {expected[:12]}"
    own, remedy = tokenizer_fingerprint(file), "use one made for this drafter's tokenizer"
    require(has_fingerprint(file, expected), rule, got=f"{own[:12]} in {folder}", remedy=remedy)
