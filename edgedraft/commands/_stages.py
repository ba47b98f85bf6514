"""The stages that `plan`, `export` and `quickstart` share, up to the bundle."""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgedraft.calibration.run import Calibration
from edgedraft.calibration.saved import load_calibration
from edgedraft.commands._options import answer_settings, open_pairs, prompt_set
from edgedraft.commands._plan_options import (
    MAX_DIVERGENCE,
    DeviceChoice,
    device_choice,
    planning_request,
    provider_choice,
    with_vocab,
)
from edgedraft.commands._show import show_costs
from edgedraft.console import Console
from edgedraft.exporter.bundle.contents import bundle_contents
from edgedraft.exporter.bundle.writing import BundleContents, is_current, write_bundle
from edgedraft.exporter.graph.providers import CPU, DRAFTER, TARGET, Provider, cautions
from edgedraft.exporter.models.pair import Pair, prepared_pair
from edgedraft.exporter.models.sources import resolve
from edgedraft.exporter.pipeline.calibrating import AnswerSettings, PromptSet, calibrate_pair
from edgedraft.exporter.pipeline.gate import target_divergence
from edgedraft.exporter.pipeline.limits import check_pair, check_source
from edgedraft.exporter.pipeline.quality import check_divergence
from edgedraft.exporter.planning.pair_plan import Place, Planned, PlanningRequest, plan_elsewhere, plan_grid, plan_here
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require
from edgedraft.runtime.bundle.manifest import DivergenceEntry


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stages:
    """What was asked for and what the stages made; ``divergence`` is of the plan's target, where it was measured."""

    prompts: PromptSet
    request: PlanningRequest
    device: DeviceChoice | None
    calibration: Calibration
    planned: Planned
    divergence: DivergenceEntry | None
    provider: Provider


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Job:
    """What all stages work with."""

    prompts: PromptSet
    settings: AnswerSettings
    request: PlanningRequest
    device: DeviceChoice | None
    provider: Provider
    cache: Path
    console: Console


def planned_pair(options: argparse.Namespace, cache: Path, console: Console) -> Stages:
    """Fetch, convert, calibrate, time and plan; each stage is taken from the cache when it was done before.

    What the user fixed is checked against the pair before minutes of sampling. The pair of the first precisions is
    calibrated; where another one wins, it is calibrated too, and the plan is made from its own answers.
    """
    device = device_choice(options)
    job = _Job(
        prompts=prompt_set(options),
        settings=answer_settings(options),
        request=planning_request(options),
        device=device,
        provider=provider_choice(options, device),
        cache=cache,
        console=console,
    )
    pairs = _usable_pairs(options, job)
    job = replace(job, request=with_vocab(job.request, options, pairs[0]))
    plan_grid(pairs[0].vocab_size, None, job.request)
    for pair in pairs:
        show_costs(console, (*pair.drafter.costs, *pair.target.costs))
    calibration = _calibration(getattr(options, "calibration", None), pairs[0], job)
    divergences = _judged(options.max_divergence, pairs, calibration, job)
    usable = [pair for pair in pairs if not divergences or pair.target.precision in divergences]
    planned = _plan(usable, calibration, job)
    if planned.pair is not pairs[0] and calibration.scoring_answers:
        chosen = planned.decision.best.setup
        console.note(f"{chosen} wins: calibrating that pair itself")
        calibration = _calibrated(planned.pair, job)
        planned = _plan([planned.pair], calibration, job)
    divergence = divergences.get(planned.pair.target.precision)
    return Stages(
        prompts=job.prompts,
        request=job.request,
        device=job.device,
        calibration=calibration,
        planned=planned,
        divergence=divergence,
        provider=job.provider,
    )


def written_bundle(stages: Stages, output: Path, console: Console) -> BundleContents:
    """Write the planned bundle unless ``output`` already holds it."""
    planned, profile = stages.planned, stages.device.profile if stages.device else None
    check_pair(planned.pair, stages.provider, profile, planned.plan.draft_vocab_size)
    contents = bundle_contents(stages.calibration, planned, stages.prompts.name, stages.divergence, stages.provider)
    if is_current(contents, output):
        console.note(f"{output} already holds this bundle.")
    else:
        write_bundle(contents, output, console.progress)
    return contents


def _usable_pairs(options: argparse.Namespace, job: _Job) -> list[Pair]:
    """The pairs in all precisions, refused before minutes of converting and sampling where they cannot be held."""
    provider, progress = job.provider, job.console.progress
    precisions = {TARGET: options.target_precision, DRAFTER: options.drafter_precision}
    for told in cautions(provider, precisions):
        job.console.note(told)
    if provider.largest_tensor_bytes is not None:
        for role, names in precisions.items():
            source = resolve(getattr(options, role), job.cache, progress)
            for name in names:
                check_source(source, role, name, provider)
    pairs = open_pairs(options, job.cache, progress)
    for pair in pairs:
        check_pair(pair, provider, job.device.profile if job.device else None)
    if job.device is None and provider.name != CPU:
        return [prepared_pair(pair, provider, job.cache) for pair in pairs]
    return pairs


def _calibration(path: Path | None, pair: Pair, job: _Job) -> Calibration:
    """The saved calibration in a folder, which must be of the pair's tokenizer, or a new one."""
    if path is None:
        return _calibrated(pair, job)
    saved = load_calibration(path)
    whole = saved.scoring is not None and saved.trace is not None
    require(whole, f"--calibration {path}: expected a folder", got="counts", remedy="save it with calibrate --output")
    assert saved.scoring is not None and saved.trace is not None
    found, wanted = saved.scoring.provenance.tokenizer_fingerprint, pair.fingerprint
    rule = f"--calibration {path}: expected counts and trace of the pair's tokenizer {wanted[:12]}"
    require(found == wanted, rule, got=found[:12], remedy="calibrate this pair")
    return Calibration(ranking=saved.ranking, scoring_answers=(), scoring=saved.scoring, trace=saved.trace)


def _calibrated(pair: Pair, job: _Job) -> Calibration:
    return calibrate_pair(pair, job.prompts, job.cache, job.console.progress, job.settings)


def _plan(pairs: Sequence[Pair], calibration: Calibration, job: _Job) -> Planned:
    if job.device is None:
        return plan_here(pairs, calibration, job.request, time.perf_counter, job.cache, job.console.progress)
    foreseen = job.device.foreseen
    place = Place(provider=job.provider.name, threads=foreseen.threads or job.device.profile.cores)
    return plan_elsewhere(pairs, calibration, job.request, foreseen.latency, place)


def _judged(
    bound: float | None, pairs: Sequence[Pair], calibration: Calibration, job: _Job
) -> Mapping[str, DivergenceEntry]:
    """How far the targets within the bound stray from fp32; refused when none is within it.

    Empty where no bound was set and only one precision is weighed: nothing depends on it then.
    """
    targets = {pair.target.precision: pair for pair in pairs}
    if bound is None and len(targets) == 1:
        return {}
    remedy = "plan without --calibration, or with one --target-precision and no --max-divergence"
    judging = len(calibration.scoring_answers) > 0
    require(judging, "a saved calibration holds no answers to judge precisions with", remedy=remedy)
    kept, refusal = {}, None
    for pair in targets.values():
        measured = target_divergence(pair, calibration.scoring_answers, job.cache, job.console.progress)
        job.console.note(
            f"target {measured.precision}: KL {measured.kl_per_token:.4f} nats a token against fp32, "
            f"the same choice at {measured.greedy_agreement:.1%} of {measured.positions} positions"
        )
        try:
            check_divergence(measured, MAX_DIVERGENCE if bound is None else bound)
        except EdgedraftError as error:
            refusal = error
        else:
            kept[pair.target.precision] = measured
    if refusal is not None and not kept:
        raise refusal
    return kept
