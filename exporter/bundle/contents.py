"""The contents of a plan's bundle, with a forecast for every draft vocabulary that a later trim may choose."""

import numpy as np

from edgedraft.calibration.run import Calibration
from edgedraft.calibration.trace.rows import AcceptanceTrace
from edgedraft.exporter.bundle.forecasts import acceptance_forecast
from edgedraft.exporter.bundle.token_order import SizeForecasts, TokenOrder
from edgedraft.exporter.bundle.writing import BundleContents
from edgedraft.exporter.graph.providers import CPU, PROVIDERS, Provider
from edgedraft.exporter.planning.planner import Planned, candidate_sizes
from edgedraft.exporter.planning.ranking import coverage, coverage_by_size, index_map, ranks_of
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS, acceptance_windows
from edgedraft.exporter.planning.row_costs import LEAST_LIST
from edgedraft.exporter.planning.scan import Scan, scan, scan_replays, tiled_sizes
from edgedraft.exporter.planning.scoring import predicted_speeds
from edgedraft.exporter.planning.views import coverage_intervals
from edgedraft.runtime.bundle.manifest import CalibrationEntry, DivergenceEntry


def bundle_contents(
    calibration: Calibration,
    planned: Planned,
    prompts_name: str,
    divergence: DivergenceEntry | None = None,
    provider: Provider = PROVIDERS[CPU],
    drafter_divergence: DivergenceEntry | None = None,
) -> BundleContents:
    """Gather what the plan's bundle holds.

    ``divergence`` is the target's from fp32, where it was measured, and ``drafter_divergence`` the drafter's.
    """
    size = planned.plan.draft_vocab_size
    low, high = coverage_intervals(calibration, planned.order, np.array([size]))[0].tolist()
    ranked_by = next(iter(calibration.ranking.values()))
    entry = CalibrationEntry(
        prompts=prompts_name,
        ranking_prompts=ranked_by.prompts,
        scoring_prompts=calibration.scoring.prompts,
        ranking_tokens=ranked_by.tokens,
        scoring_tokens=calibration.scoring.tokens,
        coverage=coverage(calibration.scoring, planned.order, size),
        coverage_low=low,
        coverage_high=high,
        ranked_by=planned.ranked_by,
    )
    longest = calibration.trace.most_drafts or DRAFT_LENGTHS[-1]
    return BundleContents(
        pair=planned.pair,
        index_map=index_map(planned.order, size),
        plan=planned.plan,
        calibration=entry,
        divergence=divergence,
        drafter_divergence=drafter_divergence,
        order=order_with_forecasts(calibration, planned),
        provider=provider,
        forecast=acceptance_forecast(planned.replayed, size, longest, calibration.scoring_answers),
    )


def order_with_forecasts(calibration: Calibration, planned: Planned) -> TokenOrder:
    """Return the plan's token order with a forecast for each size, at the plan's own setup and draft length.

    The replayed rounds are kept for all draft lengths that were scanned.
    """
    scanned, length = _scanned(calibration, planned), planned.plan.draft_length
    column = scanned.draft_lengths.tolist().index(length)
    latency = planned.latency
    passes = np.array([[latency.drafter_seconds(size, rows) for rows in (1, 2)] for size in scanned.sizes.tolist()])
    tables = (predicted_speeds(scanned, latency), scanned.block_efficiency, scanned.acceptance_rate)
    # coverage_by_size counts from size 1, so the coverage of a size stands one place before it.
    covered = coverage_by_size(calibration.scoring, planned.order)[scanned.sizes - 1]
    spread = coverage_intervals(calibration, planned.order, scanned.sizes)
    forecasts = SizeForecasts(
        sizes=scanned.sizes,
        coverage=np.column_stack([covered, spread]),
        speeds=np.column_stack([*(table[:, column] for table in tables), passes]),
        draft_lengths=scanned.draft_lengths,
        replayed=np.stack([scanned.rounds, scanned.full_rounds, scanned.accepted, scanned.evaluated], axis=2),
    )
    return TokenOrder(token_ids=planned.order, forecasts=forecasts)


def _scanned(calibration: Calibration, planned: Planned) -> Scan:
    """Scan every size where replaying is fast, also if the user fixed one; else return the sizes that were scored."""
    done, trace = planned.decision.scored.answers.scan, calibration.trace
    if planned.plan.conversation_rows and len(done.sizes) == 1:
        sizes = sorted({*candidate_sizes(planned.pair.most_draft_tokens, LEAST_LIST), *done.sizes.tolist()})
        return scan_replays(planned.replayed, sizes, DRAFT_LENGTHS)
    if len(done.sizes) > 1 or not isinstance(trace, AcceptanceTrace):
        return done
    windows = acceptance_windows(trace, ranks_of(planned.order))
    # Depths are walked size by size, which takes long: of these only the plan's own length.
    lengths = (planned.plan.draft_length,) if windows.deeper else DRAFT_LENGTHS
    return scan(windows, tiled_sizes(planned.pair.most_draft_tokens), lengths)
