"""How far a packed model's choices are from the float one's, measured over the model's own answers."""

from collections.abc import Sequence

import numpy as np

from edgedraft.calibration.answers.sampling import Answer
from edgedraft.runtime.base.arrays import Float64Array
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.manifest import DivergenceEntry
from edgedraft.runtime.core.model import LanguageModel, prompt_pieces


def divergence(
    precision: str,
    reference: LanguageModel,
    model: LanguageModel,
    answers: Sequence[Answer],
    progress: Progress = silent,
) -> DivergenceEntry:
    """Read every answer with both models, each token after the answer's own earlier ones, and compare."""
    total, agreed, positions = 0.0, 0, 0
    for done, entry in enumerate(answers):
        progress("answers compared", done, len(answers))
        wanted, found = (answer_log_probs(each, entry) for each in (reference, model))
        total += float(kl_rows(wanted, found).sum())
        agreed += int((wanted.argmax(axis=-1) == found.argmax(axis=-1)).sum())
        positions += len(wanted)
    progress("answers compared", len(answers), len(answers))
    require(positions > 0, "quality: expected answers of one token or more", got="none")
    return DivergenceEntry(
        precision=precision,
        kl_per_token=total / positions,
        greedy_agreement=agreed / positions,
        positions=positions,
    )


def check_divergence(measured: DivergenceEntry, bound: float) -> None:
    """Refuse a precision that strays more than ``bound`` nats a token."""
    require(
        measured.kl_per_token <= bound,
        f"target precision {measured.precision}: KL per token against fp32 must be at most {bound:g}",
        got=f"{measured.kl_per_token:.4f}",
        remedy="choose a finer --target-precision or allow more",
    )


def kl_rows(wanted: Float64Array, found: Float64Array) -> Float64Array:
    """KL(wanted ‖ found) of each row of (rows, vocab) log-probabilities, in nats."""
    possible = ~np.isneginf(wanted)
    differences = np.subtract(wanted, found, out=np.zeros_like(wanted), where=possible)
    result: Float64Array = (np.exp(wanted) * differences).sum(axis=-1)
    return result


def answer_log_probs(model: LanguageModel, entry: Answer) -> Float64Array:
    """The model's log-probabilities before each token of the answer, (tokens, vocab)."""
    model.rewind(0)
    *before, last = entry.prompt_ids
    for piece in prompt_pieces(before):
        model.read(piece)
    logits = model.read((last, *entry.token_ids[:-1])).logits.astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    result: Float64Array = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return result
