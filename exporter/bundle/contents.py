"""The contents of a plan's bundle: the pair, the map, the plan and where the draft vocabulary came from."""

from collections.abc import Sequence

import numpy as np

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.run import Calibration
from edgedraft.exporter.bundle.forecasts import order_with_forecasts
from edgedraft.exporter.bundle.writing import BundleContents
from edgedraft.exporter.graph.providers import CPU, PROVIDERS, Provider
from edgedraft.exporter.planning.planner import Planned
from edgedraft.exporter.planning.ranking import coverage, index_map
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.bundle.manifest import CalibrationEntry, DivergenceEntry
from edgedraft.runtime.core.statistics import bootstrap_rng, ratio_interval


def bundle_contents(
    calibration: Calibration,
    planned: Planned,
    prompts_name: str,
    divergence: DivergenceEntry | None = None,
    provider: Provider = PROVIDERS[CPU],
) -> BundleContents:
    """Gather what the plan's bundle holds; ``divergence`` is the target's from fp32, where it was measured."""
    size = planned.plan.draft_vocab_size
    low, high = coverage_interval(calibration.scoring_answers, planned.order[:size])
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
    return BundleContents(
        pair=planned.pair,
        index_map=index_map(planned.order, size),
        plan=planned.plan,
        calibration=entry,
        divergence=divergence,
        order=order_with_forecasts(calibration, planned),
        provider=provider,
    )


def coverage_interval(answers: Sequence[SampledAnswer], kept_ids: Ids) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the share of answer tokens that ``kept_ids`` cover."""
    covered = [int(np.isin(entry.token_ids, kept_ids).sum()) for entry in answers]
    lengths = [len(entry.token_ids) for entry in answers]
    return ratio_interval(covered, lengths, bootstrap_rng())
