"""The maths of greedy draft-and-verify on arrays: best tokens, common prefixes, margins and confidences."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgedraft.runtime.base.records import require


def greedy_choices(logits: npt.NDArray[np.float32], by: str = "the model") -> list[int]:
    """Return the arg-max of each row of (rows, vocab) logits; ties go to the smaller id.

    Raises `EdgedraftError` if a row's best logit is not finite.
    """
    choices = np.argmax(logits, axis=-1)
    best = logits[np.arange(len(choices)), choices]  # arg-max returns the place of a NaN where there is one
    require_finite(bool(np.isfinite(best).all()), by)
    return [int(choice) for choice in choices]


def require_finite(finite: bool, by: str) -> None:
    """Raise an error for logits that are not finite."""
    remedy = "check the bundle's files or export it again"
    require(finite, f"logits of {by} must be finite numbers", got="NaN or infinity", remedy=remedy)


def accepted_prefix(draft_ids: Sequence[int], target_ids: Sequence[int]) -> int:
    """Return the length of the common prefix of two token sequences."""
    pairs = enumerate(zip(draft_ids, target_ids, strict=False))
    unlike = (position for position, (drafted, chosen) in pairs if drafted != chosen)
    return next(unlike, min(len(draft_ids), len(target_ids)))


def logit_margin(row: npt.NDArray[np.float32]) -> float:
    """Return the best logit of one (vocab,) row less the second best."""
    second, best = np.partition(row, -2)[-2:]
    return float(best - second)


def log_probability(row: npt.NDArray[np.float32], token_id: int) -> float:
    """Return the natural log of the probability of ``token_id`` under (vocab,) logits, before any filter."""
    top = float(row.max())
    return float(row[token_id]) - top - float(np.log(np.exp(row - top).sum(dtype=np.float64)))


def best_log_probabilities(row: npt.NDArray[np.float32], count: int) -> list[tuple[int, float]]:
    """Return the ``count`` most probable tokens of (vocab,) logits with their log-probabilities, the best first.

    Of equal ones the smaller id is first.
    """
    count = min(count, len(row))
    least = np.partition(row, -count)[-count]
    candidates = np.flatnonzero(row >= least)
    best = candidates[np.argsort(-row[candidates], kind="stable")][:count]
    top = float(row.max())
    norm = float(np.log(np.exp(row - top).sum(dtype=np.float64)))
    return [(int(token_id), float(row[token_id]) - top - norm) for token_id in best]


def confidence(row: npt.NDArray[np.float32]) -> float:
    """Return the probability of the best token of (vocab,) logits; it does not depend on which token is drawn."""
    return 1.0 / float(np.exp(row - row.max()).sum(dtype=np.float64))
