"""The stages that planning, exporting and quickstart share: from a request to a plan, and from a plan to a bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgedraft.calibration.run import Calibration
from edgedraft.calibration.saved import load_calibration
from edgedraft.exporter.bundle.contents import bundle_contents
from edgedraft.exporter.bundle.writing import BundleContents, is_current, write_bundle
from edgedraft.exporter.graph.precisions import AUTO, DEFAULT
from edgedraft.exporter.graph.providers import CPU, DRAFTER, TARGET, Provider, cautions
from edgedraft.exporter.graph.widths import head_rows
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.layers import layer_source, settled_drafter
from edgedraft.exporter.models.pair import AnyPair, Pair, fitting_sources, prepared_pair
from edgedraft.exporter.models.sources import resolve
from edgedraft.exporter.pipeline.calibrating import PromptSet, calibrate_pair, require_trace_of
from edgedraft.exporter.pipeline.default_precision import ChosenPrecision
from edgedraft.exporter.pipeline.inputs import (
    answer_settings,
    open_pairs,
    prompt_set,
    with_default_precisions,
    with_named_drafter,
)
from edgedraft.exporter.pipeline.limits import check_pair, check_source
from edgedraft.exporter.pipeline.planning import (
    GivenOrder,
    PlanningRequest,
    longest_draft,
    plan_grid,
    require_rows,
)
from edgedraft.exporter.pipeline.prepared import PreparedDrafter, plans_elsewhere, plans_here
from edgedraft.exporter.pipeline.quality import targets_within
from edgedraft.exporter.pipeline.remote_device import LatencyForecast, chosen_provider, remote_device
from edgedraft.exporter.pipeline.requests import PlanRequest
from edgedraft.exporter.planning.drafters import DrafterComparison, compare_drafters, fastest
from edgedraft.exporter.planning.planner import Planned
from edgedraft.exporter.planning.ranking import index_map, scored_first
from edgedraft.exporter.planning.scoring import PlanLimits
from edgedraft.exporter.vocab.reading import DeclaredMap, read_vocab_map
from edgedraft.exporter.vocab.vocab_map import vocab_order
from edgedraft.runtime.base.progress import Note, Progress
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.manifest import DivergenceEntry


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stages:
    """The results of the stages, with the drafters side by side.

    The divergences are of the plan's target and drafter, where they were measured.
    """

    prompts: PromptSet
    device: LatencyForecast | None
    calibration: Calibration
    planned: Planned
    drafters: DrafterComparison
    divergence: DivergenceEntry | None
    drafter_divergence: DivergenceEntry | None
    provider: Provider


def planned_pair(request: PlanRequest, progress: Progress, note: Note) -> Stages:
    """Fetch, convert, calibrate, time and plan; each stage is taken from the cache when it was done before.

    What the user fixed is checked against the pair before minutes of sampling. The pair of the first precisions is
    calibrated; where another one wins, it is calibrated too, and the plan is made from its own answers. Of several
    drafters the one that decodes fastest is taken.
    """
    request = with_named_drafter(request, cache_folder(request.cache), progress, note)
    names = (request.drafter, *request.other_drafters)
    works = [_Work(replace(request, drafter=name, other_drafters=()), progress, note) for name in names]
    for work in works if len(works) > 1 else ():  # a wrong drafter is refused before minutes of work on the others
        fitting_sources(request.target, work.request.drafter, request.export_backend, work.cache, progress)
    prepared = [work.prepared() for work in works]
    plans = works[0].plans(prepared)
    place = plans.index(fastest(plans))
    return works[place].finished(prepared[place], plans, place)


def written_bundle(stages: Stages, output: Path, progress: Progress, note: Note) -> BundleContents:
    """Write the planned bundle unless ``output`` already holds it."""
    planned, profile = stages.planned, stages.device.profile if stages.device else None
    check_pair(planned.pair, stages.provider, profile, planned.plan.draft_vocab_size)
    measured = (stages.divergence, stages.provider, stages.drafter_divergence)
    contents = bundle_contents(stages.calibration, planned, stages.prompts.name, *measured)
    if is_current(contents, output):
        note(f"{output} already holds this bundle.")
    else:
        write_bundle(contents, output, progress)
    return contents


class _Work:
    """One request with what all of its stages need; a cheap refusal comes before an expensive stage."""

    def __init__(self, request: PlanRequest, progress: Progress, note: Note) -> None:
        self.request, self.progress, self.note = request, progress, note
        self.device = remote_device(request)
        self.prompts = prompt_set(request, note)
        self.answers = answer_settings(request)
        self.limits = PlanLimits(memory_bytes=request.memory_budget, min_coverage=request.min_coverage)
        self.provider = chosen_provider(request, self.device)
        self.cache = cache_folder(request.cache)
        self.chosen: Mapping[str, ChosenPrecision] = {}

    def prepared(self) -> PreparedDrafter:
        """Do everything up to the plan."""
        pairs = self.usable_pairs()
        for pair in pairs if self.request.conversation_rows else ():
            require_rows(pair)
        wishes = self.wishes(pairs[0])
        plan_grid(pairs[0].most_draft_tokens, None, wishes, longest_draft(pairs[0]))
        for pair in pairs:
            for cost in (*pair.drafter.costs, *pair.target.costs):
                self.note(f"{cost.what}: {cost.seconds:.0f} s, peak memory {cost.peak_bytes / 2**30:.1f} GiB")
        folders = [folder for pair in pairs for folder in (pair.drafter, pair.target)]
        for remark in dict.fromkeys(remark for folder in folders for remark in folder.remarks):
            self.note(remark)
        calibration = self.calibration(pairs[0])
        divergences = self.divergences(pairs, calibration)
        return PreparedDrafter(
            pairs=pairs,
            usable=[pair for pair in pairs if not divergences or pair.target.precision in divergences],
            wishes=wishes,
            calibration=calibration,
            divergences=divergences,
        )

    def finished(self, prepared: PreparedDrafter, plans: list[Planned], place: int) -> Stages:
        """Return the stages of the drafter that was taken, whose plan stands at ``place``."""
        planned, calibration = plans[place], prepared.calibration
        if planned.pair is not prepared.pairs[0] and calibration.scoring_answers:
            self.note(f"{planned.decision.best.setup} wins: calibrating that pair itself")
            calibration = self.calibrated(planned.pair)
            again = replace(prepared, usable=[planned.pair], calibration=calibration)
            (planned,) = self.plans([again])
            plans = [*plans[:place], planned, *plans[place + 1 :]]
        return Stages(
            prompts=self.prompts,
            device=self.device,
            calibration=calibration,
            planned=planned,
            drafters=compare_drafters(plans, planned, calibration.scoring_answers),
            divergence=prepared.divergences.get(planned.pair.target.precision),
            drafter_divergence=self.chosen[DRAFTER].divergence if DRAFTER in self.chosen else None,
            provider=self.provider,
        )

    def usable_pairs(self) -> list[AnyPair]:
        """Return the pairs in all precisions; refuse what cannot be held before minutes of converting and sampling."""
        request, provider = self.request, self.provider
        precisions = {role: _or_smallest(names) for role, names in _precisions(request).items()}
        cautions(provider, precisions)
        if provider.largest_tensor_bytes is not None:
            for role, reference in {TARGET: request.target, DRAFTER: request.drafter}.items():
                reference = settled_drafter(request.target, reference, self.cache, self.progress)
                source = layer_source(reference, self.cache, self.progress)
                source = source or resolve(reference, self.cache, self.progress)
                for name in precisions[role]:
                    check_source(source, role, name, provider)
        request, self.chosen = with_default_precisions(
            request, self.cache, self.progress, self.note, bound=request.max_divergence, refused=provider.refused
        )
        for caution in cautions(provider, _precisions(request)):
            self.note(caution)
        pairs = open_pairs(request, self.cache, self.progress)
        for pair in pairs:
            check_pair(pair, provider, self.device.profile if self.device else None)
        if self.device is None and provider.name != CPU:
            return [prepared_pair(pair, provider, self.cache) for pair in pairs if isinstance(pair, Pair)]
        return pairs

    def wishes(self, pair: AnyPair) -> PlanningRequest:
        """Return what the user decided; a token map counts as a whole unless a size was fixed."""
        request = self.request
        wishes = PlanningRequest(
            draft_vocab_size=request.vocab_size,
            draft_length=request.draft_length,
            limits=self.limits,
            threads=tuple(dict.fromkeys(request.threads[1:])),
            conversation_rows=request.conversation_rows,
        )
        if request.vocab is None:
            return wishes
        file = Path(request.vocab)
        vocab = read_vocab_map(file, DeclaredMap(kind=request.vocab_kind, vocab_size=pair.vocab_size))
        order = vocab_order(vocab, pair.vocab_size, pair.end_token_ids)
        if isinstance(pair, Pair):
            head_rows(index_map(order, vocab.entries), pair.drafter_width)
        # A layer's own head scores the tokens that it was trained for: of the map's tokens these are kept.
        size = request.vocab_size or int(np.isin(order[: vocab.entries], pair.head_ids).sum())
        order = scored_first(order, pair.head_ids)
        return replace(wishes, given=GivenOrder(name=file.name, token_ids=order), draft_vocab_size=size)

    def calibration(self, pair: AnyPair) -> Calibration:
        """Return the saved calibration, which must be of the pair's tokenizer, or make a new one."""
        path = self.request.calibration
        if path is None:
            return self.calibrated(pair)
        saved = load_calibration(Path(path))
        whole = saved.scoring is not None and saved.trace is not None
        remedy = "save it with calibrate --output"
        require(whole, f"--calibration {path}: expected a folder", got="counts", remedy=remedy)
        assert saved.scoring is not None and saved.trace is not None
        own = saved.scoring.provenance.tokenizer_fingerprint
        rule = f"--calibration {path}: expected counts and trace of the pair's tokenizer {pair.fingerprint[:12]}"
        require(pair.codec.has_fingerprint(own), rule, got=own[:12], remedy="calibrate this pair")
        require_trace_of(pair, saved.trace, f"--calibration {path}")
        ranking = {source: counts.fitted(pair.vocab_size) for source, counts in saved.ranking.items()}
        scoring = saved.scoring.fitted(pair.vocab_size)
        return Calibration(ranking=ranking, scoring_answers=(), scoring=scoring, trace=saved.trace)

    def calibrated(self, pair: AnyPair) -> Calibration:
        return calibrate_pair(pair, self.prompts, self.cache, self.progress, self.answers)

    def divergences(self, pairs: Sequence[AnyPair], calibration: Calibration) -> Mapping[str, DivergenceEntry]:
        """Return how far the usable targets stray from fp32, by precision; empty where nothing depends on it."""
        targets = {pair.target.precision: pair for pair in pairs}
        bound = self.request.max_divergence
        chosen = self.chosen[TARGET].divergence if TARGET in self.chosen else None
        if chosen is not None:
            return {chosen.precision: chosen}
        if bound is None and len(targets) == 1:
            return {}
        return targets_within(bound, targets, calibration.scoring_answers, self.cache, self.progress, self.note)

    def plans(self, prepared: Sequence[PreparedDrafter]) -> list[Planned]:
        """Plan all drafters for the request's device."""
        if self.device is None:
            return plans_here(prepared, self.cache, self.progress)
        return plans_elsewhere(prepared, self.device, self.note)


def _precisions(request: PlanRequest) -> dict[str, tuple[str, ...]]:
    return {TARGET: request.target_precisions, DRAFTER: request.drafter_precisions}


def _or_smallest(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the smallest precision in place of "auto": if memory cannot hold that, it cannot hold any."""
    return tuple(DEFAULT if name == AUTO else name for name in names)
