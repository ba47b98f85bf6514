"""The maths of greedy draft-and-verify, on arrays alone."""

from collections.abc import Sequence

import numpy as np

from edgedraft.runtime.model import Logits


def greedy_choices(logits: Logits) -> list[int]:
    """The arg-max of each row of (rows, vocab) logits; ties go to the smaller id."""
    return [int(choice) for choice in np.argmax(logits, axis=-1)]


def accepted_prefix(draft_ids: Sequence[int], target_ids: Sequence[int]) -> int:
    """Length of the common prefix of the draft and the target's own choices."""
    for position, (drafted, chosen) in enumerate(zip(draft_ids, target_ids, strict=False)):
        if drafted != chosen:
            return position
    return min(len(draft_ids), len(target_ids))


def logit_margin(row: Logits) -> float:
    """How far the best logit of one (vocab,) row lies above the second best."""
    second, best = np.partition(row, -2)[-2:]
    return float(best - second)
