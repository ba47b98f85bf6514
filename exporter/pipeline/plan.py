"""Planning by each method: for a device by measured or forecast times, by modelled speed-up, or by balance."""

from dataclasses import dataclass, replace
from pathlib import Path

from edgedraft.calibration.run import Calibration
from edgedraft.exporter.methods.balanced import BalancedResult, balance
from edgedraft.exporter.methods.balanced_report import require_reports_folder, write_reports
from edgedraft.exporter.methods.balanced_run import BalancedOptions
from edgedraft.exporter.methods.flops import drafter_cost
from edgedraft.exporter.methods.mbsu import MbsuResult, maximise_mbsu
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.pair import AnyPair
from edgedraft.exporter.pipeline.calibrating import calibrate_pair
from edgedraft.exporter.pipeline.inputs import answer_settings, open_pair, prompt_set
from edgedraft.exporter.pipeline.layer_steps import fusing_size
from edgedraft.exporter.pipeline.requests import PairInputs, PlanRequest
from edgedraft.exporter.pipeline.stages import planned_pair
from edgedraft.exporter.planning.drafters import DrafterComparison
from edgedraft.exporter.planning.joint_search import JointSearch, search_jointly
from edgedraft.exporter.planning.pictures import draw_plan, require_pictures_folder
from edgedraft.exporter.planning.planner import Decision, candidate_sizes
from edgedraft.exporter.planning.ranking import token_order
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS
from edgedraft.exporter.planning.scan import replay_function
from edgedraft.exporter.planning.search import SearchSettings
from edgedraft.exporter.planning.search_storage import require_storage
from edgedraft.exporter.planning.views import Term, explain
from edgedraft.runtime.base.progress import Note, Progress, silent, unsaid
from edgedraft.runtime.base.records import require


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PlanReport:
    """The decision for a device, where a round's time goes, and the search beside the scan where one was asked for.

    ``drafters`` puts the drafters side by side, with n-gram lookup and none. ``basis`` says what the forecast of a
    device that is not here rests on.
    """

    decision: Decision
    drafters: DrafterComparison
    terms: tuple[Term, ...]
    searched: JointSearch | None
    basis: str | None
    pictures: tuple[Path, ...]


def plan(request: PlanRequest, progress: Progress = silent, note: Note = unsaid) -> PlanReport:
    """Calibrate (or read what was saved), time passes or look them up, and choose; write the pictures if asked."""
    if request.pictures:
        require_pictures_folder(request.pictures)
    if request.storage:
        require(request.trials is not None, "--storage: keeps trials, and none are asked for", remedy="add --trials N")
        require_storage(request.storage)
    stages = planned_pair(request, progress, note)
    planned = stages.planned
    best = planned.decision.best
    outcome = planned.replayed(best.draft_vocab_size, best.draft_length)
    pictures = draw_plan(planned, stages.calibration, request.pictures) if request.pictures else ()
    return PlanReport(
        decision=planned.decision,
        drafters=stages.drafters,
        terms=tuple(explain(planned.latency, outcome, best.draft_vocab_size, best.draft_length)),
        searched=_searched(planned.decision, request, progress),
        basis=stages.device.basis if stages.device else None,
        pictures=tuple(pictures),
    )


def plan_by_mbsu(request: PlanRequest, progress: Progress = silent, note: Note = unsaid) -> MbsuResult:
    """Maximise VocabTrim's modelled speed-up; costs are parameters, and verification is taken as free."""
    pair, calibration = calibrated_pair(request, progress, note)
    replayed = replay_function(calibration.trace, token_order(pair, calibration))
    sizes = [request.vocab_size] if request.vocab_size else list(candidate_sizes(pair.most_draft_tokens))

    def cost_ratio(size: int) -> float:
        return pair.trimmed_size(size).parameters / pair.target_size.parameters

    lengths = (request.draft_length,) if request.draft_length else DRAFT_LENGTHS[: calibration.trace.most_drafts]
    return maximise_mbsu(replayed, cost_ratio, sizes, lengths)


def plan_by_balance(
    inputs: PairInputs, options: BalancedOptions, progress: Progress = silent, note: Note = unsaid
) -> tuple[BalancedResult, tuple[Path, ...]]:
    """Balance the coverage of the pair's answers against the drafter's FLOPs; return the result and its files.

    An EAGLE layer's FLOPs are those of its own configuration, with the product that fuses the target's states.
    """
    require_reports_folder(options.output_dir)
    pair, calibration = calibrated_pair(inputs, progress, note)
    fixed = pair.trimmed_size(0).parameters
    fixed += fusing_size(pair).parameters if isinstance(pair, EaglePair) else 0
    cost = drafter_cost(fixed, pair.head_row.parameters)
    settings = options.settings
    most = min(settings.utility.max_size, pair.most_draft_tokens)
    settings = replace(settings, utility=replace(settings.utility, max_size=most))
    result = balance(next(iter(calibration.ranking.values())), cost, settings, progress)
    return result, tuple(write_reports(result, options.output_dir))


def calibrated_pair(
    inputs: PairInputs, progress: Progress = silent, note: Note = unsaid
) -> tuple[AnyPair, Calibration]:
    """Open the one pair of a request and calibrate it, or take from the cache what was done before."""
    prompts, cache, settings = prompt_set(inputs, note), cache_folder(inputs.cache), answer_settings(inputs)
    pair = open_pair(inputs, cache, progress)
    return pair, calibrate_pair(pair, prompts, cache, progress, settings)


def _searched(decision: Decision, request: PlanRequest, progress: Progress) -> JointSearch | None:
    if request.trials is None:
        return None
    return search_jointly(decision.scored, SearchSettings(trials=request.trials, storage=request.storage), progress)
