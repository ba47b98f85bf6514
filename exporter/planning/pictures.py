"""The picture of a calibration: held-out coverage and block efficiency by draft vocabulary size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedraft.calibration.run import Calibration
from edgedraft.exporter.planning.figures import BLUE, ORANGE, drawing, size_axis, write_title
from edgedraft.exporter.planning.planner import candidate_sizes
from edgedraft.exporter.planning.ranking import coverage, ranks_of
from edgedraft.exporter.planning.replay import Replay
from edgedraft.exporter.planning.replaying import Replaying
from edgedraft.exporter.planning.weighing import require_tokens
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.core.plan import DecodingPlan
from edgedraft.runtime.core.statistics import bootstrap_rng, ratio_interval

if TYPE_CHECKING:
    from edgedraft.exporter.planning.figures import Axes


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """Coverage and τ on held-out prompts, one entry a size, with 95 % bootstrap intervals over the answers."""

    sizes: tuple[int, ...]
    coverage: tuple[float, ...]
    coverage_low: tuple[float, ...]
    coverage_high: tuple[float, ...]
    block_efficiency: tuple[float, ...]
    block_efficiency_low: tuple[float, ...]
    block_efficiency_high: tuple[float, ...]


def curves(
    calibration: Calibration, replayed: Replaying, order: Ids, draft_length: int, also: Sequence[int] = ()
) -> Curves:
    """The curves of one token order at one draft length, at the candidate sizes and ``also`` at others."""
    require_tokens(len(calibration.trace.target_ids))
    sizes = tuple(sorted({*candidate_sizes(len(order)), *also}))
    outcomes = [replayed(size, draft_length) for size in sizes]
    coverage_low, coverage_high = zip(*_coverage_intervals(calibration, order, sizes), strict=True)
    low, high = zip(*(_block_efficiency_interval(outcome) for outcome in outcomes), strict=True)
    return Curves(
        sizes=sizes,
        coverage=tuple(coverage(calibration.scoring, order, size) for size in sizes),
        coverage_low=coverage_low,
        coverage_high=coverage_high,
        block_efficiency=tuple(outcome.block_efficiency for outcome in outcomes),
        block_efficiency_low=low,
        block_efficiency_high=high,
    )


def _coverage_intervals(calibration: Calibration, order: Ids, sizes: Sequence[int]) -> list[tuple[float, float]]:
    """95 % intervals of coverage. A saved calibration has no answers; its trace has them without their first token."""
    token_ids = [np.asarray(entry.token_ids, dtype=np.int64) for entry in calibration.scoring_answers]
    if not token_ids:
        token_ids = np.split(calibration.trace.target_ids, calibration.trace.offsets[1:-1])
    ranks = ranks_of(order)
    places = [ranks[answer] for answer in token_ids if len(answer)]
    lengths = [len(answer) for answer in places]
    covered = [[int((answer < size).sum()) for answer in places] for size in sizes]
    return [ratio_interval(parts, lengths, bootstrap_rng()) for parts in covered]


def _block_efficiency_interval(outcome: Replay) -> tuple[float, float]:
    """The 95 % interval of τ; answers of one token, which take no round, say nothing about it."""
    counted = outcome.rounds > 0
    return ratio_interval(outcome.tokens[counted], outcome.rounds[counted], bootstrap_rng())


def draw(drawn: Curves, plan: DecodingPlan, title: str, *paths: Path) -> None:
    """Write both curves with their intervals and the plan's size, as PNG or SVG by each path's suffix."""
    with drawing(*paths, inches=(9, 7)) as figure:
        write_title(figure, title)
        upper, lower = figure.subplots(2, 1, sharex=True)
        in_percent = [[100 * share for share in part] for part in _coverage(drawn)]
        _draw_curve(upper, drawn.sizes, in_percent, BLUE)
        _draw_curve(lower, drawn.sizes, _block_efficiency(drawn), ORANGE)
        upper.set_ylabel("coverage of held-out tokens (%)")
        lower.set_ylabel(f"block efficiency τ at draft length {plan.draft_length}\n(tokens per target pass)")
        size_axis(lower, (*drawn.sizes, plan.draft_vocab_size))
        upper.tick_params(bottom=False)
        for axes in (upper, lower):
            label = f"{'plan' if plan.speculate else 'best with drafts'}: K = {plan.draft_vocab_size:,}"
            axes.axvline(plan.draft_vocab_size, color="0.3", linestyle="--", linewidth=1.2, label=label)
            axes.grid(visible=True, alpha=0.3)
            axes.legend(loc="lower right")


def _coverage(drawn: Curves) -> tuple[Sequence[float], ...]:
    return drawn.coverage, drawn.coverage_low, drawn.coverage_high


def _block_efficiency(drawn: Curves) -> tuple[Sequence[float], ...]:
    return drawn.block_efficiency, drawn.block_efficiency_low, drawn.block_efficiency_high


def _draw_curve(axes: "Axes", sizes: Sequence[int], values: Sequence[Sequence[float]], color: str) -> None:
    """A curve, given as its values and the lows and highs of their intervals."""
    middle, low, high = values
    axes.plot(sizes, middle, "o-", color=color, markersize=4, label="all held-out answers")
    label = "95 % interval, answers resampled"
    axes.fill_between(sizes, low, high, color=color, alpha=0.2, linewidth=0, label=label)
    axes.vlines(sizes, low, high, color=color, alpha=0.5, linewidth=1)
