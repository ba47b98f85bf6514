"""What a plan foresees at other sizes: coverage, speed and acceptance of every draft vocabulary, for trims to come."""

from collections.abc import Sequence

import numpy as np

from edgedraft.calibration.answers.sampling import Answer
from edgedraft.calibration.run import Calibration
from edgedraft.calibration.trace.rows import AcceptanceTrace
from edgedraft.exporter.bundle.token_order import Outlook, TokenOrder
from edgedraft.exporter.planning.planner import Planned
from edgedraft.exporter.planning.ranking import coverage_by_size, ranks_of
from edgedraft.exporter.planning.replay import acceptance_windows
from edgedraft.exporter.planning.scan import Scan, scan, tiled_sizes
from edgedraft.exporter.planning.scoring import predicted_speeds
from edgedraft.runtime.base.arrays import Float64Array, Ids
from edgedraft.runtime.core.statistics import bootstrap_rng

_RESAMPLINGS = 1000
_SIZES_AT_ONCE = 256


def order_with_outlook(calibration: Calibration, planned: Planned) -> TokenOrder:
    """The plan's token order, with the outlook of its setup and draft length."""
    scanned, length = _scanned(calibration, planned), planned.plan.draft_length
    column = scanned.draft_lengths.tolist().index(length)
    latency = planned.latency
    passes = np.array([[latency.drafter_seconds(size, rows) for rows in (1, 2)] for size in scanned.sizes.tolist()])
    tables = (predicted_speeds(scanned, latency), scanned.block_efficiency, scanned.acceptance_rate)
    covered = coverage_by_size(calibration.scoring, planned.order)[scanned.sizes - 1]
    spread = coverage_intervals(calibration.scoring_answers, planned.order, scanned.sizes)
    outlook = Outlook(
        sizes=scanned.sizes,
        coverage=np.column_stack([covered, spread]),
        foreseen=np.column_stack([*(table[:, column] for table in tables), passes]),
    )
    return TokenOrder(token_ids=planned.order, outlook=outlook)


def coverage_intervals(answers: Sequence[Answer], order: Ids, sizes: Ids) -> Float64Array:
    """95 % bootstrap intervals of the share of answer tokens that each size covers: (sizes, 2).

    The answers are resampled as for a single size by `ratio_interval`.
    """
    ranks = ranks_of(order)
    held = [np.sort(ranks[np.asarray(answer.token_ids, dtype=np.int64)]) for answer in answers]
    picks = bootstrap_rng().integers(0, len(held), size=(_RESAMPLINGS, len(held)))
    weights = np.stack([np.bincount(pick, minlength=len(held)) for pick in picks]).astype(np.float64)
    wholes = weights @ np.array([len(row) for row in held], dtype=np.float64)
    found = []
    for start in range(0, len(sizes), _SIZES_AT_ONCE):
        some = sizes[start : start + _SIZES_AT_ONCE]
        covered = np.stack([np.searchsorted(row, some) for row in held]).astype(np.float64)
        found.append(np.quantile((weights @ covered) / wholes[:, None], (0.025, 0.975), axis=0).T)
    return np.concatenate(found)


def _scanned(calibration: Calibration, planned: Planned) -> Scan:
    """Every size where replaying is swift, though the user fixed one; else those that were weighed."""
    done, trace = planned.decision.scored.answers.scan, calibration.trace
    if len(done.sizes) > 1 or not isinstance(trace, AcceptanceTrace):
        return done
    windows = acceptance_windows(trace, ranks_of(planned.order))
    return scan(windows, tiled_sizes(len(planned.order)), (planned.plan.draft_length,))
