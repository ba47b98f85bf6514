"""Forecasts at other sizes: coverage, speed and acceptance for every draft vocabulary that a later trim may choose."""

from collections.abc import Sequence

import numpy as np

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.run import Calibration
from edgedraft.calibration.trace.rows import AcceptanceTrace
from edgedraft.exporter.bundle.token_order import SizeForecasts, TokenOrder
from edgedraft.exporter.planning.planner import Planned
from edgedraft.exporter.planning.ranking import coverage_by_size, ranks_of
from edgedraft.exporter.planning.replay import acceptance_windows
from edgedraft.exporter.planning.scan import Scan, scan, tiled_sizes
from edgedraft.exporter.planning.scoring import predicted_speeds
from edgedraft.runtime.base.arrays import Float64Array, Ids
from edgedraft.runtime.core.statistics import bootstrap_rng

_RESAMPLINGS = 1000
_SIZES_AT_ONCE = 256
"""Bounds the (answers, sizes) table of covered tokens that is held at a time."""


def order_with_forecasts(calibration: Calibration, planned: Planned) -> TokenOrder:
    """Return the plan's token order with a forecast for each size, at the plan's own setup and draft length."""
    scanned, length = _scanned(calibration, planned), planned.plan.draft_length
    column = scanned.draft_lengths.tolist().index(length)
    latency = planned.latency
    passes = np.array([[latency.drafter_seconds(size, rows) for rows in (1, 2)] for size in scanned.sizes.tolist()])
    tables = (predicted_speeds(scanned, latency), scanned.block_efficiency, scanned.acceptance_rate)
    # coverage_by_size counts from size 1, so the coverage of a size stands one place before it.
    covered = coverage_by_size(calibration.scoring, planned.order)[scanned.sizes - 1]
    spread = coverage_intervals(calibration.scoring_answers, planned.order, scanned.sizes)
    forecasts = SizeForecasts(
        sizes=scanned.sizes,
        coverage=np.column_stack([covered, spread]),
        speeds=np.column_stack([*(table[:, column] for table in tables), passes]),
    )
    return TokenOrder(token_ids=planned.order, forecasts=forecasts)


def coverage_intervals(answers: Sequence[SampledAnswer], order: Ids, sizes: Ids) -> Float64Array:
    """Return 95 % bootstrap intervals of the share of answer tokens that each size covers: (sizes, 2).

    The answers are resampled as for a single size by `ratio_interval`.
    """
    ranks = ranks_of(order)
    # Sorted ranks of an answer: how many lie below a size is then one binary search, for all sizes at once.
    ranked = [np.sort(ranks[np.asarray(answer.token_ids, dtype=np.int64)]) for answer in answers]
    picks = bootstrap_rng().integers(0, len(ranked), size=(_RESAMPLINGS, len(ranked)))
    weights = np.stack([np.bincount(pick, minlength=len(ranked)) for pick in picks]).astype(np.float64)
    totals = weights @ np.array([len(row) for row in ranked], dtype=np.float64)
    intervals = []
    for start in range(0, len(sizes), _SIZES_AT_ONCE):
        some = sizes[start : start + _SIZES_AT_ONCE]
        covered = np.stack([np.searchsorted(row, some) for row in ranked]).astype(np.float64)
        intervals.append(np.quantile((weights @ covered) / totals[:, None], (0.025, 0.975), axis=0).T)
    return np.concatenate(intervals)


def _scanned(calibration: Calibration, planned: Planned) -> Scan:
    """Scan every size where replaying is fast, also if the user fixed one; else return the sizes that were scored."""
    done, trace = planned.decision.scored.answers.scan, calibration.trace
    if len(done.sizes) > 1 or not isinstance(trace, AcceptanceTrace):
        return done
    windows = acceptance_windows(trace, ranks_of(planned.order))
    return scan(windows, tiled_sizes(len(planned.order)), (planned.plan.draft_length,))
