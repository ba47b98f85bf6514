"""The maths of greedy draft-and-verify, on arrays alone."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgedraft.runtime.base.records import require


def greedy_choices(logits: npt.NDArray[np.float32], by: str = "the model") -> list[int]:
    """The arg-max of each row of (rows, vocab) logits; ties go to the smaller id.

    Raises `EdgedraftError` where a row's best logit is not a finite number: a damaged model says nothing.
    """
    choices = np.argmax(logits, axis=-1)
    best = logits[np.arange(len(choices)), choices]  # a NaN anywhere in a row is what arg-max finds
    require_finite(bool(np.isfinite(best).all()), by)
    return [int(choice) for choice in choices]


def require_finite(finite: bool, by: str) -> None:
    """Refuse logits that are not numbers."""
    remedy = "check the bundle's files or export it again"
    require(finite, f"logits of {by} must be finite numbers", got="NaN or infinity", remedy=remedy)


def accepted_prefix(draft_ids: Sequence[int], target_ids: Sequence[int]) -> int:
    """Length of the common prefix of two token sequences: the draft and the target's own choices."""
    for position, (drafted, chosen) in enumerate(zip(draft_ids, target_ids, strict=False)):
        if drafted != chosen:
            return position
    return min(len(draft_ids), len(target_ids))


def logit_margin(row: npt.NDArray[np.float32]) -> float:
    """How far the best logit of one (vocab,) row lies above the second best."""
    second, best = np.partition(row, -2)[-2:]
    return float(best - second)


def log_probability(row: npt.NDArray[np.float32], token_id: int) -> float:
    """Natural log of the probability that (vocab,) logits give ``token_id``, before any temperature or filter."""
    top = float(row.max())
    return float(row[token_id]) - top - float(np.log(np.exp(row - top).sum(dtype=np.float64)))


def confidence(row: npt.NDArray[np.float32]) -> float:
    """Probability of the best token of (vocab,) logits; it does not depend on which token is drawn."""
    return 1.0 / float(np.exp(row - row.max()).sum(dtype=np.float64))
