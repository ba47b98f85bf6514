"""The quality of packed targets: how far each strays from its own fp32 build, and which stay within a bound."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.exporter.models.convert import AS_EXPORTED, OnnxFolder, convert
from edgedraft.exporter.models.pair import AnyPair
from edgedraft.runtime.base.arrays import Float64Array
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.kept import kept, record_reader, short_sum, write_record
from edgedraft.runtime.base.progress import Note, Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.manifest import DivergenceEntry
from edgedraft.runtime.core.model import LanguageModel, prompt_pieces
from edgedraft.runtime.onnx.session import open_model

MAX_DIVERGENCE = 0.05
"""Nats a token. int4 of the packaged target strays by 0.02, and solves as many HumanEval problems as fp32."""

JUDGED_ANSWERS = 8

FLOAT = "fp32"


def targets_within(
    bound: float | None,
    targets: Mapping[str, AnyPair],
    answers: Sequence[SampledAnswer],
    cache: Path,
    progress: Progress,
    note: Note,
) -> Mapping[str, DivergenceEntry]:
    """Measure every target by precision and return those within ``bound`` nats a token (None: `MAX_DIVERGENCE`).

    Raises `EdgedraftError` where none is, or where there are no answers to judge by.
    """
    remedy = "plan without --calibration, or with one --target-precision and no --max-divergence"
    require(len(answers) > 0, "a saved calibration holds no answers to judge precisions with", remedy=remedy)
    kept, refusal = {}, None
    for precision, pair in targets.items():
        measured = target_divergence(pair, answers, cache, progress)
        note(f"target {measured.precision}: {shown_divergence(measured)}")
        try:
            check_divergence(measured, MAX_DIVERGENCE if bound is None else bound)
        except EdgedraftError as error:
            refusal = error
        else:
            kept[precision] = measured
    if refusal is not None and not kept:
        raise refusal
    return kept


def target_divergence(
    pair: AnyPair, answers: Sequence[SampledAnswer], cache: Path, progress: Progress = silent
) -> DivergenceEntry:
    """Measure how far the pair's target strays from its fp32 build on the first answers, once; then read ``cache``."""
    remedy = "start from the model the folder was exported from"
    exported = pair.target.precision == AS_EXPORTED
    require(not exported, "--max-divergence: an ONNX folder has no fp32 build to compare with", remedy=remedy)
    float_target = convert(pair.target.source, FLOAT, cache, progress, pair.target.export_backend)

    def opened() -> tuple[LanguageModel, LanguageModel]:
        own = float_target.key == pair.target.key
        return pair.target_model if own else open_model(float_target.graph, pair.settings), pair.target_model

    comparison = BuildComparison(folder=pair.target, reference=float_target, opened=opened)
    return kept_divergence(comparison, answers[:JUDGED_ANSWERS], cache, progress)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BuildComparison:
    """A conversion, the fp32 build to compare it with, and a function that opens both (the fp32 build first)."""

    folder: OnnxFolder
    reference: OnnxFolder
    opened: Callable[[], tuple[LanguageModel, LanguageModel]]


def kept_divergence(
    comparison: BuildComparison, answers: Sequence[SampledAnswer], cache: Path, progress: Progress = silent
) -> DivergenceEntry:
    """Measure the divergence of a conversion from its fp32 build on ``answers``, or read it from ``cache``."""
    texts = [[*entry.prompt_ids, -1, *entry.token_ids] for entry in answers]
    facts = [comparison.folder.key, comparison.reference.key, texts]
    path = cache / "quality" / f"{short_sum(facts)}.json"
    if (known := kept(record_reader(DivergenceEntry), path)) is not None:
        return known
    reference, model = comparison.opened()
    measured = divergence(comparison.folder.precision, reference, model, answers, progress)
    write_record(path, measured)
    return measured


def divergence(
    precision: str,
    reference: LanguageModel,
    model: LanguageModel,
    answers: Sequence[SampledAnswer],
    progress: Progress = silent,
) -> DivergenceEntry:
    """Read every answer with both models, each token after the answer's own earlier ones, and compare."""
    total, agreed, positions = 0.0, 0, 0
    for done, entry in enumerate(answers):
        progress("answers compared", done, len(answers))
        by_reference, by_model = (answer_log_probs(each, entry) for each in (reference, model))
        total += float(kl_rows(by_reference, by_model).sum())
        agreed += int((by_reference.argmax(axis=-1) == by_model.argmax(axis=-1)).sum())
        positions += len(by_reference)
    progress("answers compared", len(answers), len(answers))
    require(positions > 0, "quality: expected answers of one token or more", got="none")
    return DivergenceEntry(
        precision=precision,
        kl_per_token=total / positions,
        greedy_agreement=agreed / positions,
        positions=positions,
    )


def shown_divergence(measured: DivergenceEntry) -> str:
    """Return a divergence as messages show it."""
    return (
        f"KL {measured.kl_per_token:.4f} nats a token against fp32, "
        f"the same choice at {measured.greedy_agreement:.1%} of {measured.positions} positions"
    )


def check_divergence(measured: DivergenceEntry, bound: float) -> None:
    """Refuse a precision that strays more than ``bound`` nats a token."""
    require(
        measured.kl_per_token <= bound,
        f"target precision {measured.precision}: KL per token against fp32 must be at most {bound:g}",
        got=f"{measured.kl_per_token:.4f}",
        remedy="choose a finer --target-precision or allow more",
    )


def kl_rows(by_reference: Float64Array, by_model: Float64Array) -> Float64Array:
    """Return KL(reference ‖ model) of each row of (rows, vocab) log-probabilities, in nats."""
    possible = ~np.isneginf(by_reference)  # 0 · log 0 counts as 0
    differences = np.subtract(by_reference, by_model, out=np.zeros_like(by_reference), where=possible)
    result: Float64Array = (np.exp(by_reference) * differences).sum(axis=-1)
    return result


def answer_log_probs(model: LanguageModel, entry: SampledAnswer) -> Float64Array:
    """Return the model's log-probabilities before each token of the answer, (tokens, vocab)."""
    model.rewind(0)
    *before, last = entry.prompt_ids
    for piece in prompt_pieces(before):
        model.read(piece)
    logits = model.read((last, *entry.token_ids[:-1])).logits.astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    result: Float64Array = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return result
