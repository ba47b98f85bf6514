"""Measure how much of new prompts' tokens a token list covers, by the number of prompts that it was ranked on.

Every group of prompts is judged by a list that was ranked without it: coverage is never measured on the prompts that
chose the list.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.calibration.counts import TokenCounts, order_tokens
from edgedraft.runtime.base.arrays import CountArray, Int64Array
from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.statistics import ratio_interval

MOST_DOUBLINGS = 4
"""A curve begins at a sixteenth of the prompts: less says little about what comes after all of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """Coverage of the tokens of held-out prompts by a list ranked on ``prompts`` prompts (on average over groups)."""

    prompts: float
    coverage: Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningCurve:
    """Held-out coverage by lists of ``size`` tokens, each point ranked on twice the prompts of the one before.

    ``last_gain`` is what the last doubling added, judged on the same tokens; None where there is only one point.
    """

    size: int
    points: tuple[CurvePoint, ...]
    last_gain: Interval | None


def filled_groups(counts: TokenCounts) -> Int64Array:
    """Return the groups that hold a token, in ascending order."""
    return np.flatnonzero(counts.by_group.any(axis=1)).astype(np.int64)


def share(parts: CountArray, wholes: CountArray, rng: np.random.Generator) -> Interval:
    """Sum of ``parts`` over sum of ``wholes``, one entry a group (or an answer), with the 95 % interval over groups."""
    low, high = ratio_interval(parts, wholes, rng)
    return Interval(value=float(parts.sum() / wholes.sum()), low=low, high=high, level=0.95)


def covered_by_group(
    listed: Sequence[TokenCounts], judged: TokenCounts, sizes: Sequence[int], first_ids: Sequence[int]
) -> Int64Array:
    """Count the tokens of each filled group of ``judged`` in the lists ranked on ``listed``: int64 (sizes, groups).

    A group's lists are ranked on the other groups of ``listed``. Groups follow from the prompts' content, so a prompt
    that is in both counts never helps to choose the list that it judges.
    """
    require_sizes(sizes, judged.vocab_size)
    totals = [part.counts for part in listed]
    covered = np.zeros((len(sizes), len(filled_groups(judged))), dtype=np.int64)
    for column, group in enumerate(filled_groups(judged)):
        rest = [total - part.by_group[group] for total, part in zip(totals, listed, strict=True)]
        order = order_tokens(rest, first_ids)
        covered[:, column] = np.cumsum(judged.by_group[group][order])[np.asarray(sizes) - 1]
    return covered


def tokens_by_group(counts: TokenCounts) -> Int64Array:
    """Count the tokens of each filled group, int64 (groups,)."""
    totals: Int64Array = counts.by_group.sum(axis=1)
    return totals[filled_groups(counts)]


def learning_curve(counts: TokenCounts, size: int, first_ids: Sequence[int], rng: np.random.Generator) -> LearningCurve:
    """Held-out coverage against the number of ranked prompts: all others, half of them, a quarter, down to one group.

    Each group is judged once for each point, by a list ranked on the first groups of an order drawn for it, so that
    all points judge the same tokens. Raises `EdgedraftError` unless two groups hold tokens.
    """
    require_groups(counts)
    require_sizes((size,), counts.vocab_size)
    groups = filled_groups(counts)
    doublings = min(MOST_DOUBLINGS, (len(groups) - 1).bit_length() - 1)
    covered = np.zeros((doublings + 1, len(groups)), dtype=np.int64)
    prompts = np.zeros((doublings + 1, len(groups)))
    for column, group in enumerate(groups):
        others = rng.permutation(groups[groups != group])
        for row, ranked in enumerate(_nested(others, doublings, (column + 0.5) / len(groups))):
            order = order_tokens([counts.by_group[ranked].sum(axis=0)], first_ids)
            covered[row, column] = counts.by_group[group][order[:size]].sum()
            prompts[row, column] = counts.prompts_by_group[ranked].sum()
    wholes = tokens_by_group(counts)
    points = zip(prompts.mean(axis=1).tolist(), covered, strict=True)
    return LearningCurve(
        size=size,
        points=tuple(CurvePoint(prompts=ranked, coverage=share(part, wholes, rng)) for ranked, part in points),
        last_gain=share(covered[-1] - covered[-2], wholes, rng) if doublings else None,
    )


def _nested(groups: Int64Array, doublings: int, chance: float) -> list[Int64Array]:
    """Return the first groups of an order: each part twice the one before, all of them at last.

    Where halving leaves a fraction of a group, ``chance`` in 0..1 decides whether it is a whole one.
    """
    sizes = [int(len(groups) / 2**halvings + chance) for halvings in range(doublings, 0, -1)]
    return [groups[:size] for size in (*sizes, len(groups))]


def require_groups(counts: TokenCounts) -> None:
    """Raise `EdgedraftError` unless two groups hold tokens: one to rank on, one to judge by."""
    filled = len(filled_groups(counts))
    rule = "held-out coverage: expected prompts in at least two groups"
    require(filled >= 2, rule, got=f"{counts.prompts} prompts in {filled}", remedy="give more prompts")


def require_sizes(sizes: Sequence[int], vocab_size: int) -> None:
    """Raise `EdgedraftError` unless every list can have so many tokens."""
    outside = [size for size in sizes if not 1 <= size <= vocab_size]
    require(not outside, f"draft vocabulary size: expected 1..{vocab_size}", got=outside[0] if outside else None)
