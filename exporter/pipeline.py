"""The export job from a calibrated pair on: token order, step times, plan, what the bundle holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedraft.calibration.answers.sampling import Answer
from edgedraft.calibration.run import Calibration
from edgedraft.exporter.planning.pair_steps import PairSteps
from edgedraft.exporter.bundle_writer import BundleContents
from edgedraft.exporter.head import round_to_tile
from edgedraft.exporter.pair import Pair
from edgedraft.exporter.planning.planner import DRAFT_LENGTHS, Option, PlanSettings, StepCosts, candidate_sizes, choose, weigh
from edgedraft.exporter.quality import Divergence
from edgedraft.exporter.planning.ranking import coverage, index_map, rank_tokens
from edgedraft.exporter.planning.replaying import Replaying, replaying
from edgedraft.exporter.planning.pair_steps import probe_pair, step_costs
from edgedraft.runtime.index_map import Ids
from edgedraft.runtime.manifest import CalibrationEntry
from edgedraft.runtime.plan import DecodingPlan
from edgedraft.runtime.progress import Progress, silent
from edgedraft.runtime.records import require
from edgedraft.runtime.statistics import ratio_interval, resampling
from edgedraft.runtime.timing import Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedChoice:
    """What the user decides instead of the planner; None leaves it to the planner."""

    draft_vocab_size: int | None = None
    draft_length: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Planned:
    """The plan with everything it was weighed from."""

    plan: DecodingPlan
    order: Ids
    replayed: Replaying
    costs: StepCosts
    options: tuple[Option, ...]
    profile: PairSteps


def plan_pair(
    pair: Pair,
    calibration: Calibration,
    choice: FixedChoice,
    clock: Clock,
    cache: Path,
    progress: Progress = silent,
) -> Planned:
    """Rank the tokens, time the steps on this machine and choose."""
    sizes, lengths = plan_grid(pair.vocab_size, choice)
    order = token_order(pair, calibration)
    replayed = replaying(calibration.trace, order)
    context = [token for entry in calibration.scoring_answers for token in (*entry.prompt_ids, *entry.token_ids)]
    profile = probe_pair(pair, order, context, clock, cache, progress)
    costs = step_costs(pair, profile)
    options = weigh(replayed, costs, sizes, lengths)
    settings = PlanSettings(
        target_precision=pair.target.precision,
        drafter_precision=pair.drafter.precision,
        threads=profile.threads,
        device=profile.machine.name,
    )
    return Planned(
        plan=choose(options, costs, settings),
        order=order,
        replayed=replayed,
        costs=costs,
        options=tuple(options),
        profile=profile,
    )


def token_order(pair: Pair, calibration: Calibration) -> Ids:
    """Tokens by the calibration's counts, the end of turn first."""
    return rank_tokens(list(calibration.ranking.values()), pair.end_token_ids)


def bundle_contents(
    pair: Pair,
    calibration: Calibration,
    planned: Planned,
    prompts_name: str,
    divergence: Divergence | None = None,
) -> BundleContents:
    """What the plan's bundle holds; ``divergence`` is the target's from fp32, where it was measured."""
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
        ranked_by=tuple(calibration.ranking),
    )
    return BundleContents(
        pair=pair,
        index_map=index_map(planned.order, size),
        plan=planned.plan,
        calibration=entry,
        divergence=divergence,
    )


def coverage_interval(answers: Sequence[Answer], kept_ids: Ids) -> tuple[float, float]:
    """95 % bootstrap interval of the share of answer tokens that ``kept_ids`` cover."""
    covered = [int(np.isin(entry.token_ids, kept_ids).sum()) for entry in answers]
    lengths = [len(entry.token_ids) for entry in answers]
    return ratio_interval(covered, lengths, resampling())


def plan_grid(vocab_size: int, choice: FixedChoice) -> tuple[Sequence[int], Sequence[int]]:
    """The sizes and draft lengths to weigh, narrowed to what the user fixed; refuses what cannot be."""
    sizes = candidate_sizes(vocab_size)
    if choice.draft_vocab_size is not None:
        sizes = (round_to_tile(choice.draft_vocab_size, vocab_size),)
    lengths: Sequence[int] = DRAFT_LENGTHS
    if choice.draft_length is not None:
        longest = DRAFT_LENGTHS[-1]
        require(1 <= choice.draft_length <= longest, f"draft length: expected 1..{longest}", got=choice.draft_length)
        lengths = (choice.draft_length,)
    return sizes, lengths
